//! From the merged tree to what it means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbar_plugins::{read_regular_text, why_unread};
use sandbar_protocol::{Error, ErrorKind};
use serde::Serialize;

use super::Config;
use super::check;
use super::credentials;
use super::document::Document;
use super::file::FileConfig;
use super::origin::{LayerKind, Origin, Places, Setting};
use super::own_places;
use super::problem::{problem, quoted, suggest};
use super::schema;
use crate::own_places::WORKSPACES;

/// The largest text that another file has for the configuration.
const MAX_TEXT_BYTES: u64 = 4 << 20;

/// Checks a merged document and resolves each section, so that all problems are found at once.
pub(super) fn resolve(mut document: Document, default_data_dir: Option<PathBuf>) -> Result<Config, Vec<Error>> {
    let places = document.places();
    let written = Written {
        agents: document.names("agents"),
        models: document.names("models"),
        secrets: document.names("secrets"),
    };
    let problems = check::check(&mut document, &schema::generate());
    let file: FileConfig = serde_json::from_value(document.json()).map_err(|error| {
        let message = format!("the configuration fits its schema and can't be read: {error}");
        vec![Error::new(ErrorKind::Internal, "config-schema", message)]
    })?;
    let mut resolution = Resolution {
        places,
        settings: document.settings(),
        problems,
    };
    let config = resolution.config(file, &written, default_data_dir);
    let Resolution {
        places,
        mut settings,
        problems,
    } = resolution;
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        settings,
        places,
        ..config
    })
}

/// The names that were written, even where what they name has problems: a reference to them is not another one.
struct Written {
    agents: Vec<String>,
    models: Vec<String>,
    secrets: Vec<String>,
}

/// What the sections need while they are resolved: where things stand, and where problems and defaults go.
pub(super) struct Resolution {
    places: Places,
    settings: Vec<Setting>,
    problems: Vec<Error>,
}

impl Resolution {
    /// What was written, or the default, which is then noted as such.
    pub(super) fn or_default<T: Serialize>(&mut self, key: &str, written: Option<T>, default: T) -> T {
        written.unwrap_or_else(|| {
            self.note_default(key, &default);
            default
        })
    }

    pub(super) fn problem(&mut self, key: &str, code: &str, message: &str, hint: &str) {
        let error = problem(self.places.nearest(key), code, message);
        self.problems.push(error.with_hint(hint));
    }

    /// Which layer a key was written in, if it was.
    pub(super) fn layer(&self, key: &str) -> Option<LayerKind> {
        self.places.value(key).map(|place| place.layer.kind)
    }

    /// A path that was written as the value of a key, whether or not something is there.
    pub(super) fn path(&mut self, key: &str, written: &str) -> PathBuf {
        if written.is_empty() {
            let hint = "write a path, or leave the key out";
            self.problem(key, "bad-path", &format!("`{key}` is an empty path"), hint);
        } else if written.starts_with('~') {
            let message = format!("`{key}` starts with `~`, which only a shell knows");
            self.problem(key, "bad-path", &message, "write the whole path");
        }
        self.places
            .value(key)
            .map_or_else(|| PathBuf::from(written), |place| place.path(written))
    }

    /// A path at which there must be a directory.
    pub(super) fn directory(&mut self, key: &str, written: &str) -> PathBuf {
        let path = self.path(key, written);
        if !path.is_dir() && is_whole(written) {
            let message = format!("`{key}` is `{written}`, but there is no such directory");
            let hint = match std::fs::exists(&path) {
                Ok(true) => format!("`{}` is not a directory", path.display()),
                _ => format!("mkdir -p {}", quoted_for_shell(&path)),
            };
            self.problem(key, "missing-directory", &message, &hint);
        }
        path
    }

    /// A path at which there must be a file.
    pub(super) fn file(&mut self, key: &str, written: &str) -> PathBuf {
        let path = self.path(key, written);
        if !path.is_file() && is_whole(written) {
            let message = format!("`{key}` is `{written}`, but there is no such file");
            self.problem(
                key,
                "missing-file",
                &message,
                &format!("looked for `{}`", path.display()),
            );
        }
        path
    }

    /// The text in a file that must be there.
    pub(super) fn text(&mut self, key: &str, written: &str) -> String {
        let path = self.file(key, written);
        if !path.is_file() {
            return String::new();
        }
        read_regular_text(&path, MAX_TEXT_BYTES).unwrap_or_else(|error| {
            let message = format!("`{key}` is `{written}`, which can't be read: {}", why_unread(&error));
            self.problem(
                key,
                "missing-file",
                &message,
                "the file must be readable, and its text UTF-8",
            );
            String::new()
        })
    }

    pub(super) fn note_default<T: Serialize>(&mut self, key: &str, default: &T) {
        // A default is a number, a word or a path: a path that is no text is shown as nothing.
        let value = serde_json::to_value(default).unwrap_or_default();
        self.settings.push(Setting {
            key: key.to_owned(),
            value,
            origin: Origin::Default,
        });
    }

    fn config(&mut self, file: FileConfig, written: &Written, default_data_dir: Option<PathBuf>) -> Config {
        let limits = file.limits.resolve(self);
        let data_dir = self.data_dir(file.data_dir.as_deref(), default_data_dir);
        let workspace = file.workspace.map(|path| self.directory("workspace", &path));
        let workspaces = workspace.clone().unwrap_or_else(|| data_dir.join(WORKSPACES));
        let grants = resolved(file.grants, |name, grant| {
            grant.resolve(name, &written.secrets, &workspaces, self)
        });
        let secrets = resolved(file.secrets, |name, secret| secret.resolve(name, self));
        credentials::check_places(&grants, &secrets, self);
        let directories = file.plugins.directories.iter().enumerate();
        let config = Config {
            data_dir,
            workspace,
            plugin_directories: directories
                .map(|(index, path)| self.path(&format!("plugins.directories[{index}]"), path))
                .collect(),
            guest_limits: limits.guest,
            guest_memory_bytes: limits.guest_memory_bytes,
            max_instances: limits.max_instances,
            put_aside: limits.put_aside,
            lock_file: None,
            files: Vec::new(),
            workspace_bytes: limits.workspace_bytes,
            kernel_sandbox: limits.kernel_sandbox,
            consent: Arc::new(file.consent.resolve(self)),
            grants,
            secrets,
            proxy: file.network.resolve(self),
            models: resolved(file.models, |name, model| model.resolve(name, self)),
            agents: resolved(file.agents, |name, agent| {
                agent.resolve(name, &written.models, &written.agents, self)
            }),
            default_agent: self.default_agent(file.default_agent, &written.agents),
            settings: Vec::new(),
            places: Places::default(),
        };
        own_places::check(&config, self);
        config
    }

    fn data_dir(&mut self, written: Option<&str>, default: Option<PathBuf>) -> PathBuf {
        match (written, default) {
            (Some(written), _) => self.path("data_dir", written),
            (None, Some(default)) => {
                self.note_default("data_dir", &default);
                default
            }
            (None, None) => {
                let message = "there is no place for data: neither `data_dir`, nor a home directory in the environment";
                self.problem(
                    "data_dir",
                    "no-data-dir",
                    message,
                    "set `data_dir`, `XDG_DATA_HOME` or `HOME`",
                );
                PathBuf::new()
            }
        }
    }

    fn default_agent(&mut self, written: Option<String>, agents: &[String]) -> String {
        let names: Vec<&str> = agents.iter().map(String::as_str).collect();
        match (written, agents) {
            (_, []) => {
                let hint = "add `[agents.main]` with `model = \"…\"` to `sandbar.toml`";
                self.problem("agents", "no-agent", "no agent is configured", hint);
            }
            (Some(written), _) if agents.contains(&written) => return written,
            (Some(written), _) => {
                let message = format!("`default_agent` is `{written}`, but there is no such agent");
                let hint = suggest(&written, names, "the agents are", "");
                self.problem("default_agent", "unknown-agent", &message, &hint);
            }
            (None, [only]) => {
                self.note_default("default_agent", only);
                return only.clone();
            }
            (None, _) => {
                let message = format!("there are several agents, and no `default_agent`: {}", quoted(&names));
                let hint = format!("add `default_agent = \"{}\"` at the top of `sandbar.toml`", agents[0]);
                self.problem("agents", "no-default-agent", &message, &hint);
            }
        }
        String::new()
    }
}

fn resolved<F, T>(section: BTreeMap<String, F>, mut resolve: impl FnMut(&str, F) -> T) -> BTreeMap<String, T> {
    let entries = section.into_iter();
    entries
        .map(|(name, file)| {
            let meant = resolve(&name, file);
            (name, meant)
        })
        .collect()
}

/// Whether a path has no problem of its own, which would be reported twice.
fn is_whole(written: &str) -> bool {
    !written.is_empty() && !written.starts_with('~')
}

fn quoted_for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
    if plain {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
