//! `mounts` of a grant: directories besides the workspace, and how much may be put into them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sandbar_protocol::FileAccess;
use schemars::JsonSchema;
use serde::Deserialize;

use super::grants::Access;
use super::limits::bytes;
use super::resolve::Resolution;
use super::schema::NAME;
use crate::own_places::real;

/// A directory besides the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The plugin sees the directory as `/<name>`.
    pub name: String,
    pub path: PathBuf,
    pub access: FileAccess,
    /// The most that may be in it. Without one, plugins may add as much as to a workspace.
    pub quota_bytes: Option<u64>,
}

/// A directory besides the workspace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileMount {
    /// The plugin sees the directory as `/<name>`.
    #[schemars(extend("pattern" = NAME))]
    name: String,
    /// The directory. It must be there.
    path: String,
    /// Access to the files in it. Default: `read-only`.
    access: Option<Access>,
    /// The most that may be in the directory for the plugin to put something there, in MiB; each file or directory counts 4 KiB besides its
    /// bytes, whoever made it. Where there is more already, the plugin can read and remove, but add nothing. Default: none; what plugins may
    /// add is then `limits.workspace_mib`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    quota_mib: Option<u32>,
}

/// Who has the mounts, and what else they may change.
pub(super) struct Holder<'a> {
    pub(super) plugin: &'a str,
    pub(super) files: FileAccess,
    /// Where workspaces are.
    pub(super) workspace: &'a Path,
}

pub(super) fn resolve(holder: &Holder<'_>, written: Vec<FileMount>, resolution: &mut Resolution) -> Vec<Mount> {
    let plugin = holder.plugin;
    let key = |index: usize| format!("grants.{plugin}.mounts[{index}]");
    let mut names = BTreeSet::new();
    let mut mounts = Vec::new();
    for (index, mount) in written.into_iter().enumerate() {
        let key = key(index);
        if !names.insert(mount.name.clone()) {
            let message = format!("two mounts of `{plugin}` have the name `{}`", mount.name);
            let hint = "give each mount its own name";
            resolution.problem(&format!("{key}.name"), "duplicate-name", &message, hint);
        }
        let access = mount.access.unwrap_or(Access::ReadOnly).into();
        mounts.push(Mount {
            path: resolution.directory(&format!("{key}.path"), &mount.path),
            quota_bytes: quota(&format!("{key}.quota_mib"), mount.quota_mib, access, resolution),
            name: mount.name,
            access,
        });
    }
    for index in (0..mounts.len()).filter(|index| mounts[*index].quota_bytes.is_some()) {
        if let Some(why) = way_around(holder, &mounts, index) {
            let key = format!("{}.quota_mib", key(index));
            let message = format!("`{key}` would not hold: {why}");
            let hint = "mount a directory that lies apart, or remove `quota_mib`";
            resolution.problem(&key, "quota-without-effect", &message, hint);
        }
    }
    mounts
}

fn quota(key: &str, mib: Option<u32>, access: FileAccess, resolution: &mut Resolution) -> Option<u64> {
    let mib = mib?;
    if access < FileAccess::ReadWrite {
        let message = format!("`{key}` is for a mount that can be written, and this one can't");
        let hint = "add `access = \"read-write\"`, or remove `quota_mib`";
        resolution.problem(key, "quota-without-effect", &message, hint);
        return None;
    }
    if mib == 0 {
        let message = format!("`{key}` is 0, but at least 1 is wanted");
        let hint = "for a mount into which nothing may be put, write `access = \"read-only\"` and remove `quota_mib`";
        resolution.problem(key, "out-of-range", &message, hint);
        return None;
    }
    Some(bytes(mib))
}

/// Where else the plugin may write into the directory, or into one in it: there the quota of this mount doesn't count.
fn way_around(holder: &Holder<'_>, mounts: &[Mount], index: usize) -> Option<String> {
    if holder.files < FileAccess::ReadWrite {
        return None;
    }
    let mount = &mounts[index];
    let writable = |other: &&Mount| other.access == FileAccess::ReadWrite && other.name != mount.name;
    let others = mounts.iter().filter(writable);
    let others = others.map(|other| (format!("the mount `{}`", other.name), other.path.as_path()));
    let workspace = ("the workspace".to_owned(), holder.workspace);
    std::iter::once(workspace).chain(others).find_map(|(place, path)| {
        let how = meets(&mount.path, path)?;
        Some(format!(
            "its directory {how} {place}, which `{}` can write too",
            holder.plugin
        ))
    })
}

fn meets(directory: &Path, other: &Path) -> Option<&'static str> {
    let (directory, other) = (real(directory), real(other));
    if directory == other {
        Some("is that of")
    } else if directory.starts_with(&other) {
        Some("lies in")
    } else if other.starts_with(&directory) {
        Some("has in it")
    } else {
        None
    }
}
