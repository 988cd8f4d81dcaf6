//! Directories that guests may see: held open, so that renaming what the path names changes nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sandbar_protocol::{Error, ErrorKind, FileAccess, Result};

use crate::error::storage;
use crate::filesystem::Quota;

/// A directory, opened once.
#[derive(Debug)]
pub struct Workspace {
    directory: OnceLock<File>,
    path: PathBuf,
    quota: Arc<Quota>,
}

/// A further directory that a plugin sees as `/<name>`.
#[derive(Debug, Clone)]
pub struct Mount {
    pub name: String,
    pub directory: Arc<Workspace>,
    pub access: FileAccess,
}

impl Workspace {
    /// A directory that must be there.
    ///
    /// What is in it is its owner's; what guests add may have so many bytes.
    pub fn open(path: &Path, room: u64) -> Result<Self> {
        let workspace = Self::with_quota(path, Quota::new(room, None));
        workspace.directory.set(open(path)?).expect("nothing has opened it yet");
        Ok(workspace)
    }

    /// A directory of the host's own, which is made when the first plugin is to see it: most sessions never need theirs.
    ///
    /// All that is in it may have so many bytes.
    pub fn made_when_needed(path: &Path, room: u64) -> Self {
        Self::with_quota(path, Quota::new(room, Some(path.to_owned())))
    }

    fn with_quota(path: &Path, quota: Quota) -> Self {
        Self {
            directory: OnceLock::new(),
            path: path.to_owned(),
            quota: Arc::new(quota),
        }
    }

    pub(crate) fn quota(&self) -> Arc<Quota> {
        self.quota.clone()
    }

    /// For people; the host itself goes through the open directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path that leads to the open directory whatever happens to its name.
    #[cfg(target_os = "linux")]
    pub(crate) fn stable_path(&self) -> Result<PathBuf> {
        use std::os::fd::AsRawFd;
        Ok(PathBuf::from(format!(
            "/proc/self/fd/{}",
            self.directory()?.as_raw_fd()
        )))
    }

    /// Other systems have no such path: there, renaming the directory under a running session is not defended against.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn stable_path(&self) -> Result<PathBuf> {
        self.directory()?;
        Ok(self.path.clone())
    }

    fn directory(&self) -> Result<&File> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory);
        }
        std::fs::create_dir_all(&self.path).map_err(|source| storage("create", &self.path, source))?;
        let opened = open(&self.path)?;
        Ok(self.directory.get_or_init(|| opened))
    }
}

fn open(path: &Path) -> Result<File> {
    let failed = |message: String| Error::new(ErrorKind::NotFound, "no-workspace", message);
    let directory = File::open(path).map_err(|source| {
        failed(format!("the workspace `{}` can't be opened: {source}", path.display()))
            .with_hint(format!("create it: mkdir -p {}", path.display()))
            .with_source(source)
    })?;
    if !directory.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(
            failed(format!("the workspace `{}` is not a directory", path.display())).with_hint("name a directory")
        );
    }
    Ok(directory)
}
