//! Directories that guests may see: held open, so that renaming what the path names changes nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sandbar_protocol::{Error, ErrorKind, FileAccess, Result};

use crate::error::storage;

/// A directory, opened once.
#[derive(Debug)]
pub struct Workspace {
    directory: OnceLock<File>,
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
    /// A directory that must be there.
    pub fn open(path: &Path) -> Result<Self> {
        let workspace = Self::made_when_needed(path);
        workspace.directory.set(open(path)?).expect("nothing has opened it yet");
        Ok(workspace)
    }

    /// A directory of the host's own, which is made when the first plugin is to see it: most sessions never need theirs.
    pub fn made_when_needed(path: &Path) -> Self {
        Self {
            directory: OnceLock::new(),
            path: path.to_owned(),
        }
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
