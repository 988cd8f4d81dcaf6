//! `sandbar.toml` as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::agents::FileAgent;
use super::consent::FileConsent;
use super::credentials::FileCredential;
use super::grants::FileGrant;
use super::limits::FileLimits;
use super::models::FileModel;
use super::network::FileNetwork;
use super::plugins::FilePlugins;
use super::schema::NAME;

/// Configuration of Sandbar. Relative paths are relative to the file that names them. Every key can be set in the environment as
/// `SANDBAR__SECTION__KEY`, and on the command line as `--set section.key=value`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "sandbar.toml")]
pub(super) struct FileConfig {
    /// The agent that is taken when a request names none. Needed only with several agents. Environment: `SANDBAR__DEFAULT_AGENT`.
    pub(super) default_agent: Option<String>,
    /// Where journals, caches and workspaces are kept. Default: `$XDG_DATA_HOME/sandbar`, or `~/.local/share/sandbar`. Environment:
    /// `SANDBAR__DATA_DIR`.
    pub(super) data_dir: Option<String>,
    /// The directory that the tools of a session may see. Default: a new one for each session, under `workspaces` in `data_dir`.
    /// Environment: `SANDBAR__WORKSPACE`.
    pub(super) workspace: Option<String>,
    /// Where plugins are found.
    pub(super) plugins: FilePlugins,
    /// Limits of all guests.
    pub(super) limits: FileLimits,
    /// What each plugin may do, by its name. Without an entry it may do nothing.
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub(super) grants: BTreeMap<String, FileGrant>,
    /// Secrets that plugins' requests are given, by a name of your choice.
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub(super) secrets: BTreeMap<String, FileCredential>,
    /// How plugins' requests leave this machine.
    pub(super) network: FileNetwork,
    /// Which tool calls need a person's word.
    pub(super) consent: FileConsent,
    /// Models, by a name of your choice.
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub(super) models: BTreeMap<String, FileModel>,
    /// Agents, by a name of your choice. At least one is needed.
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub(super) agents: BTreeMap<String, FileAgent>,
}
