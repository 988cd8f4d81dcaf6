//! Where configuration comes from: two files, the environment and flags. The only reader of the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbar_plugins::{read_regular_text, why_unread};
use sandbar_protocol::{Error, ErrorKind, Result};

use super::document::{Content, Document, parse_value};
use super::origin::{Layer, LayerKind};
use super::problem::problem;
use super::schema::{self, Schema, Wanted};

/// The file that is looked for where a command is run.
const PROJECT_FILE: &str = "sandbar.toml";

/// The largest configuration that is read; one that is written by hand has some kilobytes.
const MAX_BYTES: u64 = 4 << 20;

/// What is recorded of that file's plugins.
const LOCK_FILE: &str = "sandbar.lock";

/// What the name of a variable starts with; `__` separates its parts.
const VARIABLE_PREFIX: &str = "SANDBAR__";

/// All that a configuration may come from. Built by hand in tests and by programs that embed Sandbar.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was asked for; none takes `sandbar.toml` in `start_dir` if it is there.
    pub project: Option<PathBuf>,
    /// What paths in flags and variables, and `project`, are relative to.
    pub start_dir: PathBuf,
    /// The user's own file, if it is there.
    pub user: Option<PathBuf>,
    /// `SANDBAR__SECTION__KEY` and its value; other variables are ignored.
    pub env: BTreeMap<String, String>,
    /// Dotted keys and their values, as flags give them; the last one wins.
    pub overrides: Vec<(String, String)>,
    /// Where data is kept if nothing says where.
    pub default_data_dir: Option<PathBuf>,
}

impl Sources {
    /// What this process was started with, without flags.
    pub fn from_environment() -> Result<Self> {
        let start_dir = std::env::current_dir().map_err(|error| {
            Error::new(
                ErrorKind::Config,
                "config-no-directory",
                "the current directory can't be read",
            )
            .with_hint("change to a directory that exists")
            .with_source(error)
        })?;
        Ok(Self {
            start_dir,
            user: directory("XDG_CONFIG_HOME", ".config").map(|home| home.join("sandbar/config.toml")),
            env: std::env::vars_os().filter_map(variable).collect::<Result<_>>()?,
            default_data_dir: directory("XDG_DATA_HOME", ".local/share").map(|home| home.join("sandbar")),
            ..Self::default()
        })
    }

    /// The file that says which plugins were approved: named as the project's file, so that two configurations in one directory have two.
    pub(super) fn lock_file(&self, data_dir: &Path) -> PathBuf {
        let project = self
            .start_dir
            .join(self.project.as_deref().unwrap_or(Path::new(PROJECT_FILE)));
        match project.is_file() {
            // A project's file may have any name, also this one.
            true if project.extension().is_some_and(|extension| extension == "lock") => {
                project.with_extension("lock.lock")
            }
            true => project.with_extension("lock"),
            false => data_dir.join(LOCK_FILE),
        }
    }

    /// The files that were read, and those that the next command in this directory would read, or write as `sandbar.lock`.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let beside = [PROJECT_FILE, LOCK_FILE].map(PathBuf::from);
        let named = [self.project.clone(), self.user.clone()].into_iter().flatten();
        named.chain(beside).map(|file| self.start_dir.join(file)).collect()
    }

    /// Reads and merges all layers.
    pub(super) fn read(&self) -> Result<Document, Vec<Error>> {
        let mut problems = Vec::new();
        let mut document = Document::default();
        for file in [self.read_user(), self.read_project()] {
            match file {
                Ok(Some(over)) => document.merge(over),
                Ok(None) => {}
                Err(error) => problems.push(error),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let schema = schema::generate();
        for (name, value) in &self.env {
            if let Some(path) = name.strip_prefix(VARIABLE_PREFIX) {
                let path = document.spelt(&path.split("__").collect::<Vec<_>>());
                self.set(&mut document, &schema, (&path, value), (LayerKind::Environment, name));
            }
        }
        for (key, value) in &self.overrides {
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            self.set(&mut document, &schema, (&path, value), (LayerKind::Flag, key));
        }
        Ok(document)
    }

    fn read_user(&self) -> Result<Option<Document>> {
        let Some(path) = &self.user else { return Ok(None) };
        let path = self.start_dir.join(path);
        read_file(&path, path.display().to_string(), LayerKind::UserFile)
    }

    fn read_project(&self) -> Result<Option<Document>> {
        let Some(written) = &self.project else {
            return read_file(
                &self.start_dir.join(PROJECT_FILE),
                PROJECT_FILE.to_owned(),
                LayerKind::ProjectFile,
            );
        };
        let path = self.start_dir.join(written);
        read_file(&path, written.display().to_string(), LayerKind::ProjectFile)?
            .map(Some)
            .ok_or_else(|| {
                let message = format!("the configuration `{}` does not exist", written.display());
                problem(None, "missing-file", &message).with_hint(format!("looked for `{}`", path.display()))
            })
    }

    fn set(
        &self,
        document: &mut Document,
        schema: &serde_json::Value,
        (path, text): (&[String], &str),
        (kind, name): (LayerKind, &str),
    ) {
        let layer = Arc::new(Layer {
            kind,
            name: name.to_owned(),
            base: self.start_dir.clone(),
        });
        let content = match Schema::root(schema).at(path).map(Schema::wanted) {
            Some(Wanted::Text | Wanted::Name | Wanted::Secret | Wanted::Choice(_)) => None,
            _ => parse_value(text, &layer),
        };
        document.set(path, content.unwrap_or_else(|| Content::Plain(text.into())), &layer);
    }
}

/// The layer of a text that a program gives.
pub(super) fn embedded(base_dir: &Path) -> Arc<Layer> {
    Arc::new(Layer {
        kind: LayerKind::ProjectFile,
        name: PROJECT_FILE.to_owned(),
        base: base_dir.to_owned(),
    })
}

fn read_file(path: &Path, name: String, kind: LayerKind) -> Result<Option<Document>> {
    let text = match read_regular_text(path, MAX_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let message = format!("the configuration `{name}` can't be read: {}", why_unread(&error));
            let hint = "the file must be readable, and its text UTF-8";
            return Err(problem(None, "unreadable", &message).with_hint(hint).with_source(error));
        }
    };
    let layer = Layer {
        kind,
        name,
        base: path.parent().unwrap_or(Path::new("")).to_owned(),
    };
    Document::parse(&text, Arc::new(layer)).map(Some)
}

/// One of the directories of the XDG base directory specification, which says that a relative path counts as none.
fn directory(variable: &str, under_home: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(under_home)))
}

fn variable((name, value): (OsString, OsString)) -> Option<Result<(String, String)>> {
    let name = name
        .into_string()
        .ok()
        .filter(|name| name.starts_with(VARIABLE_PREFIX))?;
    Some(match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(
            problem(None, "bad-variable", &format!("the variable `{name}` is not UTF-8"))
                .with_hint("set it to text, or unset it"),
        ),
    })
}

/// Where the environment says that certificates of authorities are: `SSL_CERT_FILE`, and the directories of `SSL_CERT_DIR`.
pub(crate) fn certificate_places() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let value = |name: &str| std::env::var_os(name);
    let directories = value("SSL_CERT_DIR").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&directories).collect();
    places.extend(value("SSL_CERT_FILE").map(PathBuf::from));
    places.retain(|place| !place.as_os_str().is_empty());
    places
}

/// Whether the environment asks for text without colour: `NO_COLOR` is set to anything, or the terminal is a `dumb` one.
pub fn colour_is_unwanted() -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let value = |name: &str| std::env::var_os(name).unwrap_or_default();
    !value("NO_COLOR").is_empty() || value("TERM") == "dumb"
}
