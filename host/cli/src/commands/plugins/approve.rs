//! `sandbar plugins approve`: a person accepts what a plugin is now.

use std::io::Write as _;

use sandbar::config::grants::Grant;
use sandbar::plugins::{Difference, Kind, Plugin, Plugins, Status, Waiting};
use sandbar::protocol::{AuditEntry, DecidedBy, Error, ErrorKind, Result, SessionId};
use sandbar::store::{Store, StoreOptions};
use sandbar::{Config, Runtime};
use serde_json::{Value, json};

use super::difference::lines;
use super::reach::plugins_of;
use super::{effective, powers};
use crate::commands::run::agent_of;
use crate::consent::{Presence, TERMINAL, YES};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lock_notes;
use crate::options::Options;
use crate::person::Person;
use crate::progress::open_options;
use crate::sanitise::exact;
use crate::terminal::{Stream, Terminal};

/// Accept a plugin that is not what was approved, after a look at the difference
///
/// Until then nothing of it is called. What is accepted is recorded in `sandbar.lock`. A person at a terminal is asked; no model and no
/// plugin can answer. If the plugin's file is gone, its entry is removed.
#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    /// The plugin's name, as `sandbar plugins list` shows it
    name: String,
    /// Accept it without being asked
    #[arg(long, short)]
    yes: bool,
}

impl Approve {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let config = options.config_without_agent()?;
        Options::enclose(&config)?;
        Options::block_on(async {
            let plugins = sandbar::load_plugins(&config, &open_options(terminal)).await?;
            lock_notes::tell(&plugins, &config, terminal);
            let name = &self.name;
            match plugins.get(name) {
                Some(plugin) => match (&plugin.waiting, &plugin.status) {
                    (Some(waiting), _) => {
                        if !terminal.json {
                            show(plugin, waiting, config.grants.get(name), terminal);
                        }
                    }
                    (None, Status::Broken(error)) => {
                        let broken = error.clone();
                        return Err(broken
                            .told(|message| {
                                format!("`{name}` is broken, so that there is nothing to approve: {message}")
                            })
                            .into());
                    }
                    (None, Status::Ready(_)) => {
                        tell(name, false, &Value::Null, &Value::Null, terminal);
                        return Ok(Exit::Ok);
                    }
                },
                None => terminal.note(&format!(
                    "the file of `{}` is gone: its entry would be removed",
                    exact(name)
                )),
            }
            let by = match self.yes {
                true => YES,
                false => match ask_person(name).await? {
                    true => TERMINAL,
                    false => return Err(declined(name).into()),
                },
            };
            let accepted = accept(&plugins, name, by, &config).await?;
            let could = plugins
                .get(name)
                .map(|plugin| could_json(plugin, config.grants.get(name)));
            tell(name, true, &json!(accepted), &json!(could), terminal);
            Ok(Exit::Ok)
        })
    }
}

/// Opens a runtime. Where a person is there, they are asked at once about the plugins that a run of the agent can reach and that are not
/// what was approved.
pub(crate) async fn open_runtime(
    config: Config,
    agent: Option<&str>,
    session: Option<&SessionId>,
    presence: &Presence,
    terminal: &Terminal,
) -> Result<Runtime> {
    let runtime = Runtime::open_with(config.clone(), open_options(terminal)).await?;
    lock_notes::tell(runtime.plugins(), &config, terminal);
    let Presence::There(person) = presence else {
        return Ok(runtime);
    };
    let name = agent_of(&runtime, agent, session)?;
    let mut accepted = false;
    for name in plugins_of(&config, &name) {
        let Some(plugin) = runtime.plugins().get(name) else {
            continue;
        };
        let Some(waiting) = &plugin.waiting else {
            continue;
        };
        show(plugin, waiting, config.grants.get(name), terminal);
        if ask(person, name).await? {
            accept(runtime.plugins(), name, TERMINAL, &config).await?;
            accepted = true;
        }
    }
    if !accepted {
        return Ok(runtime);
    }
    runtime.close().await;
    drop(runtime);
    Runtime::open_with(config, open_options(terminal)).await
}

/// The audit has it before it holds.
async fn accept(plugins: &Plugins, name: &str, by: &str, config: &Config) -> Result<Option<Difference>> {
    let store = Store::open(&config.data_dir, StoreOptions::default())?;
    let entry = AuditEntry {
        plugin: Some(name.to_owned()),
        digest: plugins.get(name).map(|plugin| plugin.digest.clone()),
        by: DecidedBy::Person(by.to_owned()),
        ..AuditEntry::of("plugin.approve", name)
    };
    store.audit(entry).await?;
    plugins.approve(name, by)
}

/// The difference, and what follows from it: the grants for the name are there already.
fn show(plugin: &Plugin, waiting: &Waiting, grant: Option<&Grant>, terminal: &Terminal) {
    let paint = terminal.paint(Stream::Err);
    for line in lines(&plugin.name, &waiting.difference, paint) {
        terminal.note(&line);
    }
    if waiting.kind() == Kind::Pattern {
        terminal.note("  what it could do then: decide for its agent; a pattern has no powers, whatever is granted");
        return;
    }
    terminal.note("  what it could do then (`EFFECTIVE` is what is requested and granted):");
    for line in powers::table(&effective(plugin, grant), grant).lines(paint) {
        terminal.note(&format!("  {line}"));
    }
    for condition in powers::conditions(grant) {
        terminal.note(&format!("    {condition}"));
    }
}

/// The same for programs.
fn could_json(plugin: &Plugin, grant: Option<&Grant>) -> Value {
    let is_pattern = plugin
        .waiting
        .as_ref()
        .is_some_and(|waiting| waiting.kind() == Kind::Pattern);
    let effective = effective(plugin, grant.filter(|_| !is_pattern));
    powers::json(&effective.powers())
}

fn tell(name: &str, approved: bool, difference: &Value, effective: &Value, terminal: &Terminal) {
    match (terminal.json, approved) {
        (true, _) => terminal.json_line(
            &json!({ "name": name, "approved": approved, "difference": difference, "effective": effective }),
        ),
        (false, true) => terminal.note(&format!("`{}` is approved as it is now", exact(name))),
        (false, false) => terminal.note(&format!(
            "`{}` is what was approved: there is nothing to accept",
            exact(name)
        )),
    }
}

async fn ask_person(name: &str) -> Result<bool> {
    let person = Person::find().ok_or_else(|| {
        Error::new(
            ErrorKind::Denied,
            "no-terminal",
            "there is no terminal at which somebody could be asked",
        )
        .with_hint(format!(
            "a person who has looked at the difference can say so: `sandbar plugins approve {name} --yes`"
        ))
    })?;
    ask(&person, name).await
}

async fn ask(person: &Person, name: &str) -> Result<bool> {
    person.forget_typed();
    let mut out = std::io::stderr().lock();
    // Whoever can't read the question won't answer it with yes.
    let _ = write!(out, "accept `{}` as it is now? [y/N] ", exact(name));
    let _ = out.flush();
    drop(out);
    let line = person.line().await.map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            "no-answer",
            format!("the terminal can't be read: {error}"),
        )
        .with_hint("answer with `sandbar plugins approve`")
    })?;
    let said = line.unwrap_or_default().trim().to_ascii_lowercase();
    Ok(matches!(said.as_str(), "y" | "yes"))
}

fn declined(name: &str) -> Error {
    let message = format!("`{}` was not accepted: it stays unused", name.escape_debug());
    Error::new(ErrorKind::Denied, "not-approved", message)
        .with_hint("put back the file that was approved, or take this one out of the directory")
}
