//! `sandbar plugins build`.

use std::path::PathBuf;

use sandbar::Config;
use serde_json::json;

use super::meaning::groups;
use crate::author::{self, Component, Project};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::size;
use crate::options::Options;
use crate::progress::open_options;
use crate::sanitise::{one_line, sanitise};
use crate::style::Style;
use crate::terminal::{Stream, Terminal};

/// Build a plugin's component, and check that a host can use it
///
/// The language is told by the project's files: `Cargo.toml`, `app.py` or `app.js`. The component and its manifest are put into
/// `plugins/` of the project. If that is a directory from which the configuration takes plugins, what is built is approved by that.
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    #[command(flatten)]
    sources: Sources,
}

/// Where a project is, and where what is built of it goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Sources {
    /// The project
    #[arg(default_value = ".", value_name = "DIR")]
    project: PathBuf,
    /// Where the component goes; `plugins` in the project unless it is named
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where Cargo keeps what it builds; `target` in the project unless it is named
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

impl Build {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let project = self.sources.project()?;
        let config = options.config_without_agent()?;
        let component = self.sources.build(&project, &config, terminal)?;
        if terminal.json {
            terminal.json_line(&json!({
                "name": project.name,
                "kind": component.kind,
                "path": component.path,
                "bytes": component.bytes,
                "tools": component.tools,
                "imports": component.imports,
            }));
        } else {
            show(&component, terminal);
        }
        Ok(Exit::Ok)
    }
}

impl Sources {
    pub(super) fn project(&self) -> Outcome<Project> {
        Ok(Project::find(&self.project)?)
    }

    pub(super) fn out(&self) -> PathBuf {
        let beside = || match self.project.as_os_str() == "." {
            true => PathBuf::from("plugins"),
            false => self.project.join("plugins"),
        };
        self.out.clone().unwrap_or_else(beside)
    }

    pub(super) fn build(&self, project: &Project, config: &Config, terminal: &Terminal) -> Outcome<Component> {
        let target = self.target_dir.as_ref().map(std::path::absolute).transpose();
        let target = target.map_err(|error| crate::failure::file_failed("find", &self.out(), error))?;
        let out = self.out();
        Options::block_on(async {
            let say = |text: &str| terminal.note(&sanitise(text));
            let places = (target.as_deref(), out.as_path());
            Ok(author::build(project, config, &open_options(terminal), places, &say).await?)
        })
    }
}

fn show(component: &Component, terminal: &Terminal) {
    let paint = terminal.paint(Stream::Out);
    let bytes = size(usize::try_from(component.bytes).unwrap_or(usize::MAX));
    terminal.line(&format!("{}  {bytes}  {}", component.path.display(), component.kind));
    let dim = |label| paint.with(Style::Dim, label);
    if !component.tools.is_empty() {
        terminal.line(&format!(
            "  {}  {}",
            dim("tools  "),
            one_line(&component.tools.join(" "), 400)
        ));
    }
    let imports: Vec<&str> = groups(component.imports.iter().map(String::as_str))
        .into_iter()
        .map(|group| group.name)
        .collect();
    terminal.line(&format!("  {}  {}", dim("imports"), imports.join(", ")));
}
