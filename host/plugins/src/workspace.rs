//! Directories that guests may see: held open, so that renaming what the path names changes nothing.

use std::fs::File;
use std::path::{Path, PathBuf};

use sandbar_protocol::{Error, ErrorKind, FileAccess, Result};

/// A directory, opened once.
#[derive(Debug)]
pub struct Workspace {
    directory: File,
    path: PathBuf,
}

/// A further directory that a plugin sees as `/<name>`.
#[derive(Debug, Clone)]
pub struct Mount {
    pub name: String,
    pub directory: std::sync::Arc<Workspace>,
    pub access: FileAccess,
}

impl Workspace {
    pub fn open(path: &Path) -> Result<Self> {
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
        Ok(Self {
            directory,
            path: path.to_owned(),
        })
    }

    /// For people; the host itself goes through the open directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path that leads to the open directory whatever happens to its name.
    #[cfg(target_os = "linux")]
    pub(crate) fn stable_path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd()))
    }

    /// Other systems have no such path: there, renaming the directory under a running session is not defended against.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn stable_path(&self) -> PathBuf {
        let _ = &self.directory;
        self.path.clone()
    }
}
