//! Which processes have this data directory open: a file per open store, locked while it lives.
//!
//! The system frees the lock with the process, however it ends; so a lease whose process has no locked file is free to take.
//! Owners lock exclusively and askers shared, so that two askers never take each other for a live owner.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sandbar_protocol::Result;

use crate::error::Doing as _;

const FOLDER: &str = "processes";
const EXTENSION: &str = "lock";

/// This store's name in the leases, and the proof that it lives.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: String,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    folder: PathBuf,
    /// Locked; the lock ends with it.
    _file: File,
}

impl Process {
    /// Announces this store in the data directory.
    pub(crate) fn announce(directory: &Path) -> Result<Self> {
        let folder = directory.join(FOLDER);
        std::fs::create_dir_all(&folder).doing("create the folder of lock files")?;
        sweep(&folder);
        loop {
            let id = new_id();
            let path = folder.join(&id).with_extension(EXTENSION);
            let mut file = File::create_new(&path).doing("create this process's lock file")?;
            file.lock().doing("lock this process's lock file")?;
            write!(file, "{}", std::process::id()).doing("write this process's lock file")?;
            // Another process that was sweeping may have taken the file away before it was locked.
            if path.exists() {
                let place = Some(Place { folder, _file: file });
                return Ok(Self { id, place });
            }
        }
    }

    /// A store in memory has no other processes.
    pub(crate) fn alone() -> Self {
        Self {
            id: new_id(),
            place: None,
        }
    }

    /// The process id behind a name in the leases, if it still lives.
    pub(crate) fn holder(&self, id: &str) -> Option<String> {
        let folder = &self.place.as_ref()?.folder;
        let path = folder.join(id).with_extension(EXTENSION);
        is_locked(&path).then(|| match std::fs::read_to_string(&path) {
            Ok(pid) if !pid.is_empty() => pid,
            _ => "unknown".to_owned(),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            // If it stays, the next store to open the directory removes it.
            let _ = std::fs::remove_file(place.folder.join(&self.id).with_extension(EXTENSION));
        }
    }
}

fn new_id() -> String {
    format!(
        "{}-{:016x}",
        std::process::id(),
        RandomState::new().build_hasher().finish()
    )
}

/// Removes what dead processes left; failing to is harmless.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Ok(file) = File::open(&path)
            && file.try_lock_shared().is_ok()
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}
