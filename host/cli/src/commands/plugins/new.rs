//! `sandbar plugins new`.

use std::path::PathBuf;

use serde_json::json;

use crate::author::{Language, TemplateKind, create};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::options::quoted;
use crate::terminal::Terminal;

/// Start a plugin: a project with an example to change, its tests, and everything that it is built with
///
/// The SDK and the contract (`wit/`) are written into the project as this program carries them. Nothing is overwritten.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// The plugin's name: 1 to 40 of A-Z a-z 0-9 _ -
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value = "rust", value_name = "LANGUAGE")]
    lang: Language,
    /// A tool for models, or the pattern that decides what an agent does next
    #[arg(long, value_enum, default_value = "tool")]
    kind: TemplateKind,
    /// Where; a new directory with the plugin's name unless it is named
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl New {
    pub(crate) fn run(self, terminal: &Terminal) -> Outcome {
        let directory = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        let files = create(&directory, &self.name, self.lang, self.kind)?;
        if terminal.json {
            terminal.json_line(&json!({ "name": self.name, "directory": directory, "files": files }));
            return Ok(Exit::Ok);
        }
        let carried = |file: &&String| file.starts_with("sandbar-sdk/") || file.starts_with("wit/");
        for file in files.iter().filter(|file| !carried(file)) {
            terminal.line(&directory.join(file).display().to_string());
        }
        let whole = if self.lang == Language::Rust {
            "sandbar-sdk"
        } else {
            "wit"
        };
        terminal.line(&format!("{}/", directory.join(whole).display()));
        let enter = match directory.as_os_str() == "." {
            true => String::new(),
            false => format!("cd {} && ", quoted(&directory.display().to_string())),
        };
        terminal.note(&format!("\nnow try: {enter}sandbar plugins test"));
        Ok(Exit::Ok)
    }
}
