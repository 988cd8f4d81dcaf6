//! Where the project and its parts are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::invocation::Invocation;

/// Workspaces beside the host's: what becomes WebAssembly.
pub(crate) const GUEST_WORKSPACES: [&str; 2] = ["guest-plugins", "tests/guests"];

#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    /// Where Cargo builds the host.
    pub(crate) target: PathBuf,
    /// What `cargo metadata` says of the host's workspace.
    pub(crate) metadata: Value,
}

impl Project {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .context("this program is not in a folder of a folder")?
            .to_owned();
        let text = Invocation::cargo(&["metadata", "--no-deps", "--format-version", "1"]).read(&root)?;
        let metadata: Value = serde_json::from_str(&text).context("`cargo metadata` printed no JSON")?;
        let target = metadata["target_directory"]
            .as_str()
            .context("`cargo metadata` names no target directory")?
            .into();
        Ok(Self { root, target, metadata })
    }

    pub(crate) fn guest_workspaces(&self) -> impl Iterator<Item = &'static str> {
        GUEST_WORKSPACES
            .into_iter()
            .filter(|folder| self.root.join(folder).join("Cargo.toml").is_file())
    }

    /// A folder below Cargo's target directory: nested builds have their own, because the outer one is locked.
    pub(crate) fn target_folder(&self, name: &str) -> String {
        self.target.join(name).to_string_lossy().into_owned()
    }

    /// Files that belong to the project, below its root; those that Git ignores are left out.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let listing = Invocation::new("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .read(&self.root)?;
        let mut files: Vec<String> = listing
            .split('\0')
            .filter(|file| !file.is_empty() && self.root.join(file).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}
