//! `sandbar init`: a directory in which `sandbar run "hello"` works at once.

use std::io::{ErrorKind as IoErrorKind, Write as _};
use std::path::{Path, PathBuf};

use sandbar::config::{starter, starter_script};
use sandbar::protocol::Result;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Outcome, file_failed};
use crate::options::quoted;
use crate::style::Style;
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// Start a project: configuration, instructions, a scripted model, directories for plugins and files
///
/// The agent works at once, without a key and without a network. Nothing is overwritten: only what is missing is filled in.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Where; it is made if it isn't there
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Write the files anew; those that were there are kept beside them as NAME.bak
    #[arg(long)]
    force: bool,
}

const INSTRUCTIONS: &str = "\
# Instructions

You help with the files in the workspace. Look at them before you answer. Answer briefly.
";

/// What became of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Created,
    Kept,
    Replaced,
}

impl Init {
    pub(crate) fn run(self, terminal: &Terminal) -> Outcome {
        let done = write_project(&self.directory, self.force)?;
        if terminal.json {
            for (name, what) in done {
                terminal.json_line(&json!({ "path": self.directory.join(name), "done": what.word() }));
            }
            return Ok(Exit::Ok);
        }
        let mut table = Table::default();
        for (name, what) in done {
            let style = if what == Done::Kept { Style::Dim } else { Style::Green };
            table.row([
                plain(""),
                cell(style, what.word()),
                plain(self.directory.join(name).display().to_string()),
            ]);
        }
        terminal.lines(table.lines(terminal.paint(Stream::Out)));
        let enter = match self.directory.as_os_str() == "." {
            true => String::new(),
            false => format!("cd {} && ", quoted(&self.directory.display().to_string())),
        };
        terminal.note(&format!("\nnow try: {enter}sandbar run \"hello\""));
        Ok(Exit::Ok)
    }
}

impl Done {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Kept => "kept",
            Self::Replaced => "replaced",
        }
    }
}

fn write_project(directory: &Path, force: bool) -> Result<Vec<(&'static str, Done)>> {
    let mut done = Vec::new();
    for name in ["plugins", "work"] {
        let path = directory.join(name);
        let new = !path.is_dir();
        std::fs::create_dir_all(&path).map_err(|error| file_failed("create", &path, error))?;
        done.push((name, if new { Done::Created } else { Done::Kept }));
    }
    let config = config();
    let files = [
        ("sandbar.toml", config.as_str()),
        ("replies.toml", starter_script()),
        ("instructions.md", INSTRUCTIONS),
    ];
    for (name, text) in files {
        done.push((name, write_file(&directory.join(name), text, force)?));
    }
    Ok(done)
}

/// The starting configuration, with what else is written beside it.
fn config() -> String {
    starter()
        .replace("# workspace = \"work\"", "workspace = \"work\"")
        .replace(
            "instructions = \"Answer briefly.\"",
            "instructions_file = \"instructions.md\"",
        )
        .replace(" Without it every session gets a new, empty one.", "")
}

/// Another process may make the file at the same time: it is opened so that only one of them does.
fn write_file(path: &Path, text: &str, force: bool) -> Result<Done> {
    let failed = |error| file_failed("write", path, error);
    let mut done = Done::Created;
    if force && path.exists() {
        let mut backup = path.as_os_str().to_owned();
        backup.push(".bak");
        std::fs::rename(path, &backup).map_err(failed)?;
        done = Done::Replaced;
    }
    match std::fs::File::create_new(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(failed)?,
        Err(error) if error.kind() == IoErrorKind::AlreadyExists => return Ok(Done::Kept),
        Err(error) => return Err(failed(error)),
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use sandbar::Config;

    use super::*;

    fn words(directory: &Path, force: bool) -> Vec<String> {
        let done = write_project(directory, force).unwrap();
        done.iter()
            .map(|(name, done)| format!("{} {name}", done.word()))
            .collect()
    }

    #[test]
    fn a_new_project_has_a_valid_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("new");
        let all = ["plugins", "work", "sandbar.toml", "replies.toml", "instructions.md"];
        assert_eq!(words(&root, false), all.map(|name| format!("created {name}")));
        let text = std::fs::read_to_string(root.join("sandbar.toml")).unwrap();
        let config = Config::from_toml(&text, &root).unwrap();
        assert_eq!(config.workspace, Some(root.join("work")));
        assert_eq!(config.agents["main"].instructions, INSTRUCTIONS);
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::write(root.join("replies.toml"), "mine").unwrap();
        let filled = [
            "created plugins",
            "created work",
            "created sandbar.toml",
            "kept replies.toml",
        ];
        assert_eq!(words(root, false)[..4], filled);
        assert_eq!(std::fs::read_to_string(root.join("replies.toml")).unwrap(), "mine");
        assert!(words(root, false).iter().all(|line| line.starts_with("kept")));
        assert_eq!(words(root, true)[3], "replaced replies.toml");
        assert_eq!(std::fs::read_to_string(root.join("replies.toml.bak")).unwrap(), "mine");
    }
}
