//! Flags that every command has, and the configuration that they lead to.

use std::path::{Path, PathBuf};

use sandbar::Config;
use sandbar::config::sources::Sources;
use sandbar::plugins::read_regular_text;
use sandbar::protocol::{Error, ErrorKind};

use crate::failure::{Failure, Outcome, file_failed};
use crate::number::wrong;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Options {
    /// The configuration; `sandbar.toml` in this directory unless it is named
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key of the configuration for this command, such as `limits.cpu_ms=100`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// Where journals, caches and workspaces are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on standard error; repeat for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print without colour, as with the variable NO_COLOR
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// The code of the problem that no agent is configured.
const NO_AGENT: &str = "config-no-agent";

/// Where a configuration is looked for, and the variable that says where data is.
const PROJECT_FILE: &str = "sandbar.toml";
const DATA_DIR_VARIABLE: &str = "SANDBAR__DATA_DIR";

/// A larger file is no configuration.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// An agent for commands that need none: it lets them look at plugins and sessions where nothing is configured yet.
const NOBODY: [(&str, &str); 3] = [
    ("agents.nobody.model", "nothing"),
    ("models.nothing.provider", "scripted"),
    ("default_agent", "nobody"),
];

impl Options {
    pub(crate) fn config(&self) -> Outcome<Config> {
        let sources = self.sources()?;
        Config::load(&sources).map_err(|problems| {
            let starts = |problem: Error| match problem.code == NO_AGENT && self.config.is_none() {
                true => {
                    problem.with_hint("start a project with `sandbar init`, or name a configuration with `--config`")
                }
                false => problem,
            };
            Failure(problems.into_iter().map(starts).collect())
        })
    }

    /// Whether nothing is wrong but that there is no agent: a machine on which nothing has been configured yet.
    pub(crate) fn has_no_agent(&self) -> bool {
        matches!(self.config(), Err(Failure(problems)) if Self::is_no_agent(&problems))
    }

    /// Whether that is all that these problems say.
    pub(crate) fn is_no_agent(problems: &[Error]) -> bool {
        problems.iter().all(|problem| problem.code == NO_AGENT)
    }

    /// The same for commands that run no agent: that none is configured is no problem of theirs.
    pub(crate) fn config_without_agent(&self) -> Outcome<Config> {
        let mut sources = self.sources()?;
        let problems = match Config::load(&sources) {
            Ok(config) => return Ok(config),
            Err(problems) => problems,
        };
        if problems.iter().any(|problem| problem.code != NO_AGENT) {
            return Err(Failure(problems));
        }
        let script = tempfile::NamedTempFile::new()
            .map_err(|error| file_failed("create a file in", &std::env::temp_dir(), error))?;
        let set = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        sources.overrides.extend(NOBODY.map(set));
        sources
            .overrides
            .push(set(("models.nothing.script", &script.path().to_string_lossy())));
        Config::load(&sources).map_err(Failure)
    }

    /// The directory of the journal alone, which a flag can name without any configuration.
    pub(crate) fn data_dir(&self) -> Outcome<PathBuf> {
        match &self.data_dir {
            Some(directory) => Ok(directory.into()),
            None => Ok(self.config_without_agent()?.data_dir),
        }
    }

    /// The same where the configuration is wrong in another place: to look at runs, it is enough to know where they are.
    pub(crate) fn journal_dir(&self) -> Outcome<PathBuf> {
        let failure = match self.data_dir() {
            Ok(directory) => return Ok(directory),
            Err(failure) => failure,
        };
        let sources = self.sources()?;
        let start = &sources.start_dir;
        let project = sources.project.clone().unwrap_or_else(|| PROJECT_FILE.into());
        let files = [Some(project), sources.user.clone()].into_iter().flatten();
        let set = sources.overrides.iter().rev().find(|(key, _)| key == "data_dir");
        let set = set.map(|(_, value)| value).or(sources.env.get(DATA_DIR_VARIABLE));
        match set {
            Some(directory) => Ok(start.join(directory)),
            None => files
                .map(|file| start.join(file))
                .find_map(|file| written_data_dir(&file))
                .or(sources.default_data_dir.clone())
                .ok_or(failure),
        }
    }

    /// How the flags that choose a configuration are written, for commands that a user may want next.
    pub(crate) fn repeated(&self) -> String {
        let config = self
            .config
            .as_ref()
            .map(|path| format!(" --config {}", quoted(&path.display().to_string())));
        let data_dir = self
            .data_dir
            .as_ref()
            .map(|path| format!(" --data-dir {}", quoted(path)));
        config.into_iter().chain(data_dir).collect()
    }

    /// Puts this process behind the kernel's wall. What loads plugins, or runs them, does so behind it.
    ///
    /// The configuration has been read, and no thread has been started yet: the wall is inherited by threads, and can't be put around
    /// those that run already.
    pub(crate) fn enclose(config: &Config) -> Outcome<()> {
        Ok(sandbar::enclose(config)?)
    }

    /// Runs what needs the asynchronous runtime.
    pub(crate) fn block_on<T>(future: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let runtime = sandbar::threads().build().map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "no-threads",
                format!("threads can't be started: {error}"),
            )
            .with_hint("a limit on processes may be too low: see `ulimit -u`")
            .with_source(error)
        })?;
        runtime.block_on(future)
    }

    pub(crate) fn sources(&self) -> Outcome<Sources> {
        let mut sources = Sources::from_environment()?;
        sources.project.clone_from(&self.config);
        sources.overrides.clone_from(&self.set);
        sources.overrides.extend(
            self.data_dir
                .clone()
                .map(|directory| ("data_dir".to_owned(), directory)),
        );
        Ok(sources)
    }
}

/// What a file says, whatever else is wrong in it.
fn written_data_dir(file: &Path) -> Option<PathBuf> {
    let table: toml::Table = read_regular_text(file, MAX_CONFIG_BYTES).ok()?.parse().ok()?;
    Some(file.parent()?.join(table.get("data_dir")?.as_str()?))
}

/// A word for a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '=');
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn assignment(text: &str) -> Result<(String, String), Error> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(wrong(
            text,
            "a key of the configuration and its value",
            "such as `--set limits.cpu_ms=100`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(assignment(text).ok(), expected, "{text}");
        };
        check("a.b=1", Some(("a.b", "1")));
        check("a==", Some(("a", "=")));
        check("a=", Some(("a", "")));
        check("a", None);
        check("=a", None);
    }

    #[test]
    fn a_data_directory_is_found_in_a_wrong_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sandbar.toml");
        let check = |text: &str, expected: Option<&str>| {
            std::fs::write(&file, text).unwrap();
            let expected = expected.map(|name| directory.path().join(name));
            assert_eq!(written_data_dir(&file), expected, "{text}");
        };
        check("data_dir = \"d\"\nnonsense = 1\n", Some("d"));
        check("nonsense = 1\n", None);
        check("data_dir = 1\n", None);
        check("data_dir = \"d", None);
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("/tmp/a-b.c"), "/tmp/a-b.c");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
