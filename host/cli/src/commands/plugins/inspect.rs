//! `sandbar plugins inspect`.

use std::sync::Arc;

use sandbar::config::grants::Grant;
use sandbar::plugins::{GuestLimits, Lifetime, Plugin, Plugins, SandboxSpec, Status};
use sandbar::protocol::policy::Effective;
use sandbar::protocol::{Error, ErrorKind, Result, SessionId, ToolSpec};
use serde_json::{Value, json};

use super::meaning::groups;
use super::{effective, origin_text, powers};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::size;
use crate::lock_notes;
use crate::options::Options;
use crate::progress::open_options;
use crate::sanitise::{exact, one_line};
use crate::style::{Paint, Style};
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// Show what a plugin is, what it imports, requests and is granted, and its tools, before anything of it runs
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The plugin's name, as `sandbar plugins list` shows it
    name: String,
}

impl Inspect {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let config = options.config_without_agent()?;
        Options::enclose(&config)?;
        let plugins = Options::block_on(async { Ok(sandbar::load_plugins(&config, &open_options(terminal)).await?) })?;
        lock_notes::tell(&plugins, &config, terminal);
        let plugin = plugins.get(&self.name).ok_or_else(|| unknown(&self.name, &plugins))?;
        let grant = config.grants.get(&*plugin.name);
        let view = View {
            limits: plugins.limits_of(plugin),
            plugin,
            grant,
            tools: tools(&plugins, plugin, grant)?,
        };
        if terminal.json {
            terminal.json_line(&view.json());
        } else {
            terminal.lines(view.lines(terminal.paint(Stream::Out)));
        }
        match &plugin.status {
            Status::Ready(_) => Ok(Exit::Ok),
            Status::Broken(error) => Err(error
                .clone()
                .told(|message| format!("`{}` is broken: {message}", self.name))
                .into()),
        }
    }
}

fn unknown(name: &str, plugins: &Plugins) -> Error {
    let names: Vec<&str> = plugins.list().map(|plugin| &*plugin.name).collect();
    Error::new(
        ErrorKind::NotFound,
        "no-plugin",
        format!("there is no plugin `{}`", name.escape_debug()),
    )
    .with_hint(format!("there are: {}", names.join(", ")))
}

/// The tools as the model gets them: under their full names, with the traits that the grant leaves.
fn tools(plugins: &Arc<Plugins>, plugin: &Plugin, grant: Option<&Grant>) -> Result<Vec<ToolSpec>> {
    match &plugin.status {
        Status::Ready(ready) if !ready.tools.is_empty() => {}
        _ => return Ok(Vec::new()),
    }
    let name = plugin.name.to_string();
    let granted = sandbar::plugins::Grant {
        powers: grant.map(|grant| grant.powers.clone()).unwrap_or_default(),
        ..sandbar::plugins::Grant::default()
    };
    let sandbox = plugins.sandbox(SandboxSpec {
        session: SessionId::from_entropy(0),
        workspace: None,
        grants: Arc::new([(name.clone(), granted)].into()),
    });
    Ok(sandbox
        .tools(&name)?
        .iter()
        .map(|tool| tool.spec().as_ref().clone())
        .collect())
}

struct View<'a> {
    limits: GuestLimits,
    plugin: &'a Plugin,
    grant: Option<&'a Grant>,
    tools: Vec<ToolSpec>,
}

impl View<'_> {
    fn lines(&self, paint: Paint) -> Vec<String> {
        let mut lines = vec![paint.with(Style::Bold, &exact(&self.plugin.name))];
        if let Some(description) = self
            .plugin
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.description.as_ref())
        {
            lines.push(one_line(description, 200));
        }
        lines.push(String::new());
        lines.extend(self.identity().lines(paint));
        if let Status::Ready(ready) = &self.plugin.status {
            section(&mut lines, paint, "imports: what it could ask the host for");
            lines.extend(imports(&ready.imports).lines(paint));
        }
        section(&mut lines, paint, "powers: requested and granted");
        lines.extend(self.powers().lines(paint));
        lines.extend(powers::conditions(self.grant).iter().map(|line| format!("  {line}")));
        for line in powers::refused_lines(&self.effective()) {
            lines.push(format!("  {}", paint.with(Style::Yellow, &line)));
        }
        section(
            &mut lines,
            paint,
            "limits: configured, or less where the plugin asks for less",
        );
        lines.extend(self.limits().lines(paint));
        if !self.tools.is_empty() {
            section(&mut lines, paint, "tools: as the model sees them");
            for tool in &self.tools {
                lines.extend(tool_lines(tool, paint));
            }
        }
        lines
    }

    fn identity(&self) -> Table {
        let mut table = Table::default();
        let mut row = |name: &str, value: String| table.row([cell(Style::Dim, format!("  {name}")), plain(value)]);
        if let Status::Ready(ready) = &self.plugin.status {
            row("kind", ready.kind.to_string());
        }
        row("from", exact(&origin_text(&self.plugin.origin)));
        row("sha256", self.plugin.digest.clone());
        row("size", size(usize::try_from(self.plugin.bytes).unwrap_or(usize::MAX)));
        let manifest = self.plugin.manifest.as_ref();
        row(
            "manifest",
            manifest
                .map_or("none: what you grant is also what it requests", |_| "yes")
                .to_owned(),
        );
        row(
            "instance",
            match manifest.map(|manifest| manifest.lifetime).unwrap_or_default() {
                Lifetime::Call => "a fresh one for each call".to_owned(),
                Lifetime::Session => "one for a session".to_owned(),
            },
        );
        table
    }

    fn powers(&self) -> Table {
        powers::table(&self.effective(), self.grant)
    }

    fn effective(&self) -> Effective {
        effective(self.plugin, self.grant)
    }

    fn limits(&self) -> Table {
        let limits = self.limits;
        let mut table = Table::default();
        let mut row = |name: &str, value: String| table.row([cell(Style::Dim, format!("  {name}")), plain(value)]);
        row("memory", format!("{} MiB", limits.memory_bytes >> 20));
        row("processor time of a call", format!("{} ms", limits.cpu.as_millis()));
        row("time of a call", format!("{} ms", limits.wall.as_millis()));
        table
    }

    fn json(&self) -> Value {
        let plugin = self.plugin;
        let limits = self.limits;
        let manifest = plugin.manifest.as_ref();
        let mut value = json!({
            "name": &*plugin.name,
            "description": manifest.and_then(|manifest| manifest.description.clone()),
            "origin": origin_text(&plugin.origin),
            "digest": plugin.digest,
            "bytes": plugin.bytes,
            "requested": manifest.map(|manifest| powers::json(&manifest.requests)),
            "granted": powers::granted_json(self.grant),
            "effective": powers::json(&self.effective().powers()),
            "refused": powers::refused(&self.effective()),
            "limits": {
                "memory_bytes": limits.memory_bytes, "cpu_ms": limits.cpu.as_millis() as u64, "wall_ms": limits.wall.as_millis() as u64,
            },
            "tools": self.tools,
        });
        match &plugin.status {
            Status::Ready(ready) => {
                value["kind"] = json!(ready.kind);
                value["imports"] = json!(ready.imports);
                value["exports"] = json!(ready.exports);
            }
            Status::Broken(error) => value["error"] = json!(error),
        }
        if let Some(waiting) = &self.plugin.waiting {
            value["difference"] = json!(waiting.difference);
        }
        value
    }
}

fn section(lines: &mut Vec<String>, paint: Paint, title: &str) {
    let (name, rest) = title.split_once(':').unwrap_or((title, ""));
    lines.push(String::new());
    lines.push(format!(
        "{}{}",
        paint.with(Style::Bold, name),
        paint.with(Style::Dim, &format!(":{rest}"))
    ));
}

fn imports(imports: &[String]) -> Table {
    let mut table = Table::default();
    for group in groups(imports.iter().map(String::as_str)) {
        table.row([plain(format!("  {}", group.name)), cell(Style::Dim, group.meaning)]);
        for import in group.imports {
            table.row([cell(Style::Dim, format!("    {}", one_line(import, 120))), plain("")]);
        }
    }
    table
}

fn tool_lines(tool: &ToolSpec, paint: Paint) -> Vec<String> {
    let mut lines = vec![format!(
        "  {}  {}",
        paint.with(Style::Cyan, &tool.name),
        exact(&tool.traits.words())
    )];
    lines.extend(tool.description.lines().map(|line| format!("    {}", exact(line))));
    for (label, schema) in [
        ("input", Some(&tool.input_schema)),
        ("output", tool.output_schema.as_ref()),
    ] {
        if let Some(schema) = schema {
            lines.push(format!(
                "    {}",
                paint.with(Style::Dim, &format!("{label} {}", exact(&schema.to_string())))
            ));
        }
    }
    lines
}
