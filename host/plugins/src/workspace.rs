//! Directories that guests may see: held open, so that renaming what the path names changes nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sandbar_protocol::{Error, ErrorKind, FileAccess, Result};

use crate::error::storage;
use crate::filesystem::{Directory, Quota};

/// A directory, opened once.
#[derive(Debug)]
pub struct Workspace {
    quota: OnceLock<Arc<Quota>>,
    path: PathBuf,
    room: Room,
}

/// A further directory that a plugin sees as `/<name>`.
#[derive(Debug, Clone)]
pub struct Mount {
    pub name: String,
    pub directory: Arc<Workspace>,
    pub access: FileAccess,
}

/// How much guests may put there.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    pub(crate) place: Place,
}

/// Where, and with it what counts and which key of the configuration says it.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A user's directory: what guests add counts.
    Workspace,
    /// A session's own: all that is in it counts.
    OwnWorkspace,
    /// As a user's directory.
    Mount(String),
    /// All that is in it counts, whoever put it there.
    MountWithQuota(String),
}

/// How much guests may put into a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountRoom {
    /// They may add so many bytes.
    Added(u64),
    /// There may be so many bytes in it altogether.
    Quota(u64),
}

impl Workspace {
    /// A directory that must be there.
    ///
    /// What is in it is its owner's; what guests add may have so many bytes.
    pub fn open(path: &Path, room: u64) -> Result<Self> {
        Self::opened(path, room, Place::Workspace)
    }

    /// A directory of the host's own, which is made when the first plugin is to see it: most sessions never need theirs.
    ///
    /// All that is in it may have so many bytes.
    pub fn made_when_needed(path: &Path, room: u64) -> Self {
        Self::new(path, room, Place::OwnWorkspace)
    }

    /// The directory of a mount, which must be there.
    pub fn mounted(path: &Path, name: &str, room: MountRoom) -> Result<Self> {
        let name = name.to_owned();
        match room {
            MountRoom::Added(bytes) => Self::opened(path, bytes, Place::Mount(name)),
            MountRoom::Quota(bytes) => Self::opened(path, bytes, Place::MountWithQuota(name)),
        }
    }

    fn new(path: &Path, bytes: u64, place: Place) -> Self {
        Self {
            quota: OnceLock::new(),
            path: path.to_owned(),
            room: Room { bytes, place },
        }
    }

    fn opened(path: &Path, bytes: u64, place: Place) -> Result<Self> {
        let workspace = Self::new(path, bytes, place);
        workspace.keep(open(path)?)?;
        Ok(workspace)
    }

    /// What may be put there; opens the directory if nobody has yet.
    pub(crate) fn quota(&self) -> Result<&Arc<Quota>> {
        if let Some(quota) = self.quota.get() {
            return Ok(quota);
        }
        std::fs::create_dir_all(&self.path).map_err(|source| storage("create", &self.path, source))?;
        self.keep(open(&self.path)?)
    }

    fn keep(&self, opened: File) -> Result<&Arc<Quota>> {
        let directory = Directory::of(opened).map_err(|source| storage("open", &self.path, source))?;
        let quota = Quota::new(directory, self.room.clone());
        Ok(self.quota.get_or_init(|| Arc::new(quota)))
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
            self.quota()?.directory().handle().as_raw_fd()
        )))
    }

    /// Other systems have no such path: there, renaming the directory under a running session is not defended against.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn stable_path(&self) -> Result<PathBuf> {
        self.quota()?;
        Ok(self.path.clone())
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
