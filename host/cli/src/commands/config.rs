//! `sandbar config`: what holds, and where it was written.

use clap::Subcommand;
use sandbar::config::grants::Grant;
use sandbar::config::origin::Origin;
use sandbar::plugins::{Kind, Plugins, Status};
use sandbar::protocol::{Error, ErrorKind};
use sandbar::{Config, config};
use serde_json::json;

use crate::commands::plugins::unrequested;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::lines::count;
use crate::lock_notes;
use crate::options::Options;
use crate::progress::open_options;
use crate::sanitise::{one_line, sanitise};
use crate::style::Style;
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// Look at the configuration
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every key, its value, and where it was written
    Show,
    /// Check the configuration, the names of plugins in it and where its secrets are, and show every problem
    Check,
    /// Print the JSON Schema of `sandbar.toml`
    Schema,
}

impl ConfigCommand {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        match self {
            Self::Show => show(&options.config()?, terminal),
            Self::Check => check(&options.config()?, terminal),
            Self::Schema => {
                terminal.line(&format!("{:#}", config::schema()));
                Ok(Exit::Ok)
            }
        }
    }
}

fn show(config: &Config, terminal: &Terminal) -> Outcome {
    let mut table = Table::with_header(&["KEY", "VALUE", "FROM"]);
    for setting in config.origins() {
        let origin = setting.origin.to_string();
        if terminal.json {
            terminal.json_line(&json!({ "key": setting.key, "value": setting.value, "origin": origin }));
            continue;
        }
        let style = if setting.origin == Origin::Default {
            Style::Dim
        } else {
            Style::Plain
        };
        let value = one_line(&setting.value.to_string(), 80);
        table.row([
            plain(sanitise(&setting.key)),
            cell(style, value),
            cell(Style::Dim, sanitise(&origin)),
        ]);
    }
    if !terminal.json {
        terminal.lines(table.lines(terminal.paint(Stream::Out)));
    }
    Ok(Exit::Ok)
}

fn check(config: &Config, terminal: &Terminal) -> Outcome {
    Options::enclose(config)?;
    let plugins = Options::block_on(async { Ok(sandbar::load_plugins(config, &open_options(terminal)).await?) })?;
    lock_notes::tell(&plugins, config, terminal);
    let secrets = sandbar::check_secrets(config);
    let mut problems = problems(config, &plugins);
    problems.extend(secrets.problems);
    if !problems.is_empty() {
        return Err(Failure(problems));
    }
    for warning in warnings(config, &plugins).into_iter().chain(secrets.warnings) {
        terminal.warning(&warning);
    }
    if terminal.json {
        terminal.json_line(&json!({ "ok": true }));
    } else {
        let facts = [
            count(config.agents.len() as u64, "agent"),
            count(config.models.len() as u64, "model"),
            count(plugins.list().count() as u64, "plugin"),
        ];
        let ok = terminal.paint(Stream::Out).with(Style::Green, "ok");
        terminal.line(&format!("{ok}  {}", facts.join(", ")));
    }
    Ok(Exit::Ok)
}

/// Grants that do nothing, since the plugin's own manifest doesn't request them.
fn warnings(config: &Config, plugins: &Plugins) -> Vec<Error> {
    let granted = |(name, grant): (&String, &Grant)| {
        plugins
            .get(name)
            .map(|plugin| (plugin.name.clone(), unrequested(plugin, grant)))
    };
    let found = config.grants.iter().filter_map(granted);
    let warning = |name: &str, (what, line): (String, String)| {
        let message = format!("`grants.{name}` has no effect in one point: {what}");
        Error::new(ErrorKind::Config, "grant-not-requested", message)
            .with_hint(format!("take it out of `[grants.{name}]`, or write {line}"))
    };
    found
        .flat_map(|(name, points)| points.into_iter().map(move |point| warning(&name, point)))
        .collect()
}

/// Names of what isn't there, and broken plugins that an agent or a grant names.
fn problems(config: &Config, plugins: &Plugins) -> Vec<Error> {
    let (mut tools, mut patterns, mut memories) = (Vec::new(), Vec::new(), Vec::new());
    let mut broken = Vec::new();
    let is_named = |name: &str| {
        let mut agents = config.agents.values();
        let by_agents = agents.any(|agent| agent.named_plugins().any(|named| named == name));
        by_agents || config.grants.contains_key(name)
    };
    for plugin in plugins.list() {
        let name = plugin.name.to_string();
        match &plugin.status {
            Status::Ready(ready) => match ready.kind {
                Kind::Tool => tools.push(name),
                Kind::Pattern => patterns.push(name),
                Kind::Memory => memories.push(name),
            },
            Status::Broken(error) => {
                if is_named(&name) {
                    broken.push(
                        error
                            .clone()
                            .told(|message| format!("the plugin `{name}` is broken: {message}")),
                    );
                }
                // Its kind is unknown, so that it is missing nowhere.
                tools.push(name.clone());
                patterns.push(name.clone());
                memories.push(name);
            }
        }
    }
    let mut problems = config.check_plugins(&tools, &patterns, &memories);
    problems.extend(broken);
    problems
}
