//! `sandbar plugins list`.

use sandbar::Config;
use sandbar::config::grants::Grant;
use sandbar::plugins::{Plugin, Status};
use sandbar::protocol::Result;
use sandbar::store::{PluginHealth, Store, StoreOptions};
use serde_json::{Value, json};

use super::{access_word, effective, origin_text};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::{reason, size};
use crate::lock_notes;
use crate::options::Options;
use crate::progress::open_options;
use crate::sanitise::{exact, one_line, visible};
use crate::style::Style;
use crate::table::{Cell, Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// List the plugins that were found, with what they may do; those that can't be used with the reason
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let config = options.config_without_agent()?;
        Options::enclose(&config)?;
        let plugins = Options::block_on(async { Ok(sandbar::load_plugins(&config, &open_options(terminal)).await?) })?;
        lock_notes::tell(&plugins, &config, terminal);
        let aside = put_aside(&config)?;
        let granted = |plugin: &Plugin| config.grants.get(&*plugin.name);
        if terminal.json {
            for plugin in plugins.list() {
                terminal.json_line(&json(plugin, granted(plugin), aside_of(&aside, plugin)));
            }
            return Ok(Exit::Ok);
        }
        let mut table = Table::with_header(&["NAME", "KIND", "FILES", "TOOLS", "SIZE", "FROM"]);
        for plugin in plugins.list() {
            table.row(row(plugin, granted(plugin), aside_of(&aside, plugin)));
        }
        terminal.lines(table.lines(terminal.paint(Stream::Out)));
        let paint = terminal.paint(Stream::Err);
        for plugin in plugins.list() {
            if let Status::Broken(error) = &plugin.status {
                let what = if plugin.waiting.is_some() {
                    "is not used"
                } else {
                    "is broken"
                };
                let label = paint.with(Style::Red, &format!("{} {what}:", exact(&plugin.name)));
                terminal.note(&format!("\n{label} {}", visible(&reason(error))));
                if let Some(hint) = &error.hint {
                    terminal.note(&format!("{} {}", paint.with(Style::Cyan, "hint:"), visible(hint)));
                }
            }
        }
        for plugin in plugins.list() {
            if let Some(health) = aside_of(&aside, plugin) {
                let label = paint.with(Style::Red, &format!("{} was put aside:", exact(&plugin.name)));
                terminal.note(&format!("\n{label} {}", one_line(&health.reason, 300)));
                let hint = format!("`sandbar plugins enable {}` brings it back", exact(&plugin.name));
                terminal.note(&format!("{} {hint}", paint.with(Style::Cyan, "hint:")));
            }
        }
        Ok(Exit::Ok)
    }
}

/// Plugins that are not called because they failed again and again. Where there is no journal yet, none has.
fn put_aside(config: &Config) -> Result<Vec<PluginHealth>> {
    if !config.data_dir.join("sandbar.db").is_file() {
        return Ok(Vec::new());
    }
    let store = Store::open(&config.data_dir, StoreOptions::default())?;
    let mut health = store.plugin_health()?;
    health.retain(|health| health.put_aside_ms.is_some());
    Ok(health)
}

/// Another component of the name is not the one that was put aside.
fn aside_of<'a>(aside: &'a [PluginHealth], plugin: &Plugin) -> Option<&'a PluginHealth> {
    aside
        .iter()
        .find(|health| *health.plugin == *plugin.name && health.digest == plugin.digest)
}

fn row(plugin: &Plugin, grant: Option<&Grant>, aside: Option<&PluginHealth>) -> Vec<Cell> {
    let (kind, tools) = match &plugin.status {
        Status::Ready(_) if aside.is_some() => (cell(Style::Red, "put aside"), String::new()),
        Status::Broken(_) if plugin.waiting.is_some() => (cell(Style::Yellow, "changed"), String::new()),
        Status::Ready(ready) => {
            let names: Vec<&str> = ready.tools.iter().map(|tool| tool.name.as_str()).collect();
            (
                cell(Style::Green, ready.kind.to_string()),
                one_line(&names.join(" "), 60),
            )
        }
        Status::Broken(_) => (cell(Style::Red, "broken"), String::new()),
    };
    vec![
        cell(Style::Bold, one_line(&plugin.name, 40)),
        kind,
        plain(access_word(effective(plugin, grant).files())),
        plain(tools),
        plain(size(usize::try_from(plugin.bytes).unwrap_or(usize::MAX))),
        cell(Style::Dim, exact(&origin_text(&plugin.origin))),
    ]
}

fn json(plugin: &Plugin, grant: Option<&Grant>, aside: Option<&PluginHealth>) -> Value {
    let mut value = json!({
        "name": &*plugin.name,
        "origin": origin_text(&plugin.origin),
        "digest": plugin.digest,
        "bytes": plugin.bytes,
        "files": effective(plugin, grant).files(),
    });
    match &plugin.status {
        Status::Ready(ready) => {
            value["status"] = "ready".into();
            value["kind"] = json!(ready.kind);
            value["tools"] = ready.tools.iter().map(|tool| tool.name.as_str()).collect();
        }
        Status::Broken(error) => {
            value["status"] = if plugin.waiting.is_some() { "changed" } else { "broken" }.into();
            value["error"] = json!(error);
        }
    }
    if let Some(waiting) = &plugin.waiting {
        value["difference"] = json!(waiting.difference);
    }
    if let Some(health) = aside {
        value["put_aside"] = json!({ "since_ms": health.put_aside_ms, "reason": health.reason });
    }
    value
}
