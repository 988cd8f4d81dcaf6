//! `sandbar plugins list`.

use sandbar::config::grants::Grant;
use sandbar::plugins::{Plugin, Status};
use serde_json::{Value, json};

use super::{access_word, effective_files, origin_text};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::{reason, size};
use crate::options::Options;
use crate::progress::open_options;
use crate::sanitise::{one_line, sanitise};
use crate::style::Style;
use crate::table::{Cell, Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// List the plugins that were found, with what they may do; broken ones with the reason
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let config = options.config_without_agent()?;
        let plugins = Options::block_on(async { Ok(sandbar::load_plugins(&config, &open_options(terminal)).await?) })?;
        let granted = |plugin: &Plugin| config.grants.get(&*plugin.name);
        if terminal.json {
            for plugin in plugins.list() {
                terminal.json_line(&json(plugin, granted(plugin)));
            }
            return Ok(Exit::Ok);
        }
        let mut table = Table::with_header(&["NAME", "KIND", "FILES", "TOOLS", "SIZE", "FROM"]);
        for plugin in plugins.list() {
            table.row(row(plugin, granted(plugin)));
        }
        terminal.lines(table.lines(terminal.paint(Stream::Out)));
        let paint = terminal.paint(Stream::Err);
        for plugin in plugins.list() {
            if let Status::Broken(error) = &plugin.status {
                let label = paint.with(Style::Red, &format!("{} is broken:", sanitise(&plugin.name)));
                terminal.note(&format!("\n{label} {}", sanitise(&reason(error))));
                if let Some(hint) = &error.hint {
                    terminal.note(&format!("{} {}", paint.with(Style::Cyan, "hint:"), sanitise(hint)));
                }
            }
        }
        Ok(Exit::Ok)
    }
}

fn row(plugin: &Plugin, grant: Option<&Grant>) -> Vec<Cell> {
    let (kind, tools) = match &plugin.status {
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
        plain(access_word(effective_files(plugin, grant))),
        plain(tools),
        plain(size(usize::try_from(plugin.bytes).unwrap_or(usize::MAX))),
        cell(Style::Dim, sanitise(&origin_text(&plugin.origin))),
    ]
}

fn json(plugin: &Plugin, grant: Option<&Grant>) -> Value {
    let mut value = json!({
        "name": &*plugin.name,
        "origin": origin_text(&plugin.origin),
        "digest": plugin.digest,
        "bytes": plugin.bytes,
        "files": effective_files(plugin, grant),
    });
    match &plugin.status {
        Status::Ready(ready) => {
            value["status"] = "ready".into();
            value["kind"] = json!(ready.kind);
            value["tools"] = ready.tools.iter().map(|tool| tool.name.as_str()).collect();
        }
        Status::Broken(error) => {
            value["status"] = "broken".into();
            value["error"] = json!(error);
        }
    }
    value
}
