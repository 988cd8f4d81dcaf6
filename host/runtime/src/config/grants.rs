//! `[grants.<plugin>]`: what the operator lets a plugin do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sandbar_protocol::FileAccess;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::resolve::Resolution;
use super::schema::NAME;

/// What one plugin may do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grant {
    /// In the workspace.
    pub files: FileAccess,
    pub mounts: Vec<Mount>,
    /// The plugin's own configuration: always an object.
    pub config: Value,
}

/// A directory besides the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The plugin sees the directory as `/<name>`.
    pub name: String,
    pub path: PathBuf,
    pub access: FileAccess,
}

/// What one plugin may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGrant {
    /// Access to the files of the workspace. Default: `none`. Environment: `SANDBAR__GRANTS__<PLUGIN>__FILES`.
    files: Option<Access>,
    /// Further directories that the plugin sees. Default: none. Environment: `SANDBAR__GRANTS__<PLUGIN>__MOUNTS`.
    #[serde(default)]
    mounts: Vec<FileMount>,
    /// The plugin's own configuration: any table. Default: empty. Environment: `SANDBAR__GRANTS__<PLUGIN>__CONFIG__<KEY>`.
    #[serde(default)]
    config: Map<String, Value>,
}

/// A directory besides the workspace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileMount {
    /// The plugin sees the directory as `/<name>`.
    #[schemars(extend("pattern" = NAME))]
    name: String,
    /// The directory. It must be there.
    path: String,
    /// Access to the files in it. Default: `read-only`.
    access: Option<Access>,
}

/// Access to the files of a directory.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Access {
    None,
    ReadOnly,
    ReadWrite,
}

impl From<Access> for FileAccess {
    fn from(access: Access) -> Self {
        match access {
            Access::None => Self::None,
            Access::ReadOnly => Self::ReadOnly,
            Access::ReadWrite => Self::ReadWrite,
        }
    }
}

impl FileGrant {
    pub(super) fn resolve(self, plugin: &str, resolution: &mut Resolution) -> Grant {
        let key = format!("grants.{plugin}");
        let files = resolution.or_default(&format!("{key}.files"), self.files, Access::None);
        let mut names = BTreeSet::new();
        let mut mounts = Vec::new();
        for (index, mount) in self.mounts.into_iter().enumerate() {
            let key = format!("{key}.mounts[{index}]");
            if !names.insert(mount.name.clone()) {
                let message = format!("two mounts of `{plugin}` have the name `{}`", mount.name);
                resolution.problem(
                    &format!("{key}.name"),
                    "duplicate-name",
                    &message,
                    "give each mount its own name",
                );
            }
            mounts.push(Mount {
                path: resolution.directory(&format!("{key}.path"), &mount.path),
                name: mount.name,
                access: mount.access.unwrap_or(Access::ReadOnly).into(),
            });
        }
        Grant {
            files: files.into(),
            mounts,
            config: Value::Object(self.config),
        }
    }
}
