//! The configuration: what the user wrote, where, and what it means.
//!
//! Layers - flags, environment, the project's `sandbar.toml`, the user's file - are merged key by key into one tree in which every
//! value knows its place. The tree is checked against the JSON Schema of the file, then each section turns what was written
//! (`FileLimits`) into what it means (`GuestLimits`). All problems are reported at once. This is the only place that reads the
//! environment; it reads no component, so that names of plugins are checked later, by `Config::check_plugins`.

pub mod agents;
mod built_in;
mod check;
mod consent;
pub mod credentials;
mod document;
mod file;
pub mod grants;
pub mod limits;
pub mod models;
pub mod mounts;
mod network;
pub mod origin;
mod own_places;
mod plugins;
mod problem;
mod resolve;
mod schema;
pub mod secrets;
pub mod sources;
mod starter;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbar_agent::ConsentRules;
use sandbar_protocol::Error;

use agents::AgentConfig;
pub use built_in::BuiltIn;
use credentials::Credential;
use grants::Grant;
use limits::GuestLimits;
use models::ModelConfig;
use origin::{Places, Setting};
use sources::Sources;

/// The directory for data of a configuration that is given as text, beside its base directory's other files.
const EMBEDDED_DATA_DIR: &str = ".sandbar";

/// A configuration that holds: every name in it is known, every file that it names is there.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    /// None gives every session a new directory under `data_dir`.
    pub workspace: Option<PathBuf>,
    pub plugin_directories: Vec<PathBuf>,
    pub guest_limits: GuestLimits,
    /// What all guests may hold together; none leaves the share of the machine's memory to the host.
    pub guest_memory_bytes: Option<u64>,
    pub max_instances: u32,
    /// Whether plugins that fail again and again are put aside.
    pub put_aside: bool,
    /// The file that says which plugins were approved: `sandbar.lock` beside the project's file, or in the directory for data where there
    /// is none. A program that embeds Sandbar has none unless it sets it: then every plugin is taken as it is.
    pub lock_file: Option<PathBuf>,
    /// The files that it was read from, and those that would be read the next time if they were there. No plugin can change them, whatever
    /// it is given. A program that embeds Sandbar has none unless it sets them.
    pub files: Vec<PathBuf>,
    /// What plugins may add to a workspace or a mount, in bytes.
    pub workspace_bytes: u64,
    /// Whether the kernel holds what Sandbar itself may do, as far as it can: its compile workers, and the process of a program that calls
    /// [`crate::enclose`].
    pub kernel_sandbox: bool,
    /// Which tool calls need a person's word.
    pub consent: Arc<ConsentRules>,
    /// By name of plugin.
    pub grants: BTreeMap<String, Grant>,
    /// Secrets for plugins' requests, by name.
    pub secrets: BTreeMap<String, Credential>,
    /// What plugins' requests go through.
    pub proxy: Option<String>,
    pub models: BTreeMap<String, ModelConfig>,
    /// Never empty.
    pub agents: BTreeMap<String, AgentConfig>,
    /// A key of `agents`.
    pub default_agent: String,
    settings: Vec<Setting>,
    places: Places,
}

impl Config {
    /// Merges and checks what the sources hold: flag over environment over project file over user file over built-in.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Error>> {
        let layers = sources.read()?;
        resolve::resolve(layers, sources.default_data_dir.clone()).map(|config| config.locked_by(sources))
    }

    /// For programs that embed Sandbar, and tests: one text, and nothing of the environment. Relative paths are relative to
    /// `base_dir`; `data_dir` is `.sandbar` in it unless the text says otherwise.
    pub fn from_toml(text: &str, base_dir: &Path) -> Result<Self, Vec<Error>> {
        let layer = document::Document::parse(text, sources::embedded(base_dir)).map_err(|error| vec![error])?;
        resolve::resolve(layer, Some(base_dir.join(EMBEDDED_DATA_DIR)))
    }

    /// Without a configuration: one agent, `main`, that looks at files with whatever model there is. `sources` go on top, so that a
    /// flag or the user's file can still set a limit.
    pub fn built_in(built_in: &BuiltIn, sources: &Sources) -> Result<Self, Vec<Error>> {
        let mut document = built_in.document().map_err(|error| vec![error])?;
        document.merge(sources.read()?);
        resolve::resolve(document, sources.default_data_dir.clone()).map(|config| config.locked_by(sources))
    }

    fn locked_by(mut self, sources: &Sources) -> Self {
        self.lock_file = Some(sources.lock_file(&self.data_dir));
        self.files = sources.files();
        self
    }

    /// Each dotted key with its value and where it came from, sorted by key.
    pub fn origins(&self) -> &[Setting] {
        &self.settings
    }

    /// Checks the names that only the plugin directories can tell: `tools`, `patterns` and `memories` are the plugins found there.
    pub fn check_plugins(&self, tools: &[String], patterns: &[String], memories: &[String]) -> Vec<Error> {
        plugins::check(self, tools, patterns, memories)
    }
}

/// JSON Schema (2020-12) of `sandbar.toml`.
pub fn schema() -> serde_json::Value {
    schema::generate()
}

/// A commented `sandbar.toml` to start from; it names `replies.toml` beside it.
pub fn starter() -> &'static str {
    starter::CONFIG
}

/// The `replies.toml` that `starter` names.
pub fn starter_script() -> &'static str {
    starter::SCRIPT
}
