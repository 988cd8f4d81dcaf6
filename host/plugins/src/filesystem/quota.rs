//! How much of the disk and of the process's open files guests may take.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::OnceCell;

use crate::limits::MAX_OPEN_FILES;

/// What a file, a directory or a link counts besides its bytes: a million empty files fill a disk as well.
pub(super) const ENTRY_BYTES: u64 = 4 << 10;

/// The room that guests have in one directory, shared by all who see it.
///
/// In a session's own directory all that is there counts. In a user's own directory what guests have added since the host opened it does: the
/// user's files are the user's business.
#[derive(Debug)]
pub(crate) struct Quota {
    limit: u64,
    used: AtomicU64,
    /// Counted before the first change; none for a user's directory.
    existing: Option<PathBuf>,
    measured: OnceCell<()>,
}

/// A guest wrote more than there is room for.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Quota {
    pub(crate) fn new(limit: u64, existing: Option<PathBuf>) -> Self {
        Self {
            limit,
            used: AtomicU64::new(0),
            existing,
            measured: OnceCell::new(),
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Counts what is there already, once.
    pub(super) async fn measure(&self) {
        let Some(path) = &self.existing else { return };
        self.measured
            .get_or_init(|| async {
                let (path, limit) = (path.clone(), self.limit);
                let measured = tokio::task::spawn_blocking(move || bytes_under(&path, limit)).await;
                // A directory that can't be read can't be written to either.
                self.used.fetch_add(measured.unwrap_or(0), Ordering::Relaxed);
            })
            .await;
    }

    pub(super) fn take(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }

    /// What a user had there before is not the guest's to spend.
    pub(super) fn give_back(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// Bytes and entries in a directory, until they are more than the limit.
fn bytes_under(path: &Path, limit: u64) -> u64 {
    let mut sum = 0;
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            sum += ENTRY_BYTES;
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file() {
                sum += metadata.len();
            }
            if sum > limit {
                return sum;
            }
        }
    }
    sum
}

/// The process's open files that guests may hold, all together: without them the host could open neither a journal nor a socket.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    limit: usize,
    open: AtomicUsize,
}

/// One of them; given back when the last descriptor or stream over it is gone.
#[derive(Debug)]
pub(super) struct OpenFile(Arc<OpenFiles>);

impl OpenFiles {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            open: AtomicUsize::new(0),
        })
    }

    /// Half of what the system lets this process have.
    pub(crate) fn of_this_process() -> Arc<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Self::new(limit.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX)))
    }

    /// One more, for an instance that holds so many.
    pub(super) fn open(self: &Arc<Self>, held: usize) -> Option<Arc<OpenFile>> {
        if held >= MAX_OPEN_FILES {
            return None;
        }
        let fits = |open: usize| (open < self.limit).then_some(open + 1);
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()?;
        Some(Arc::new(OpenFile(self.clone())))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is no more room for this plugin in the workspace")
    }
}

impl std::error::Error for NoRoom {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let quota = Quota::new(100, None);
        assert!(quota.take(60) && !quota.take(41) && quota.take(40) && !quota.take(1));
        quota.give_back(50);
        assert!(quota.take(50) && !quota.take(1));
        quota.give_back(1_000);
        assert!(quota.take(100) && !quota.take(u64::MAX));
    }

    #[tokio::test]
    async fn what_is_there_counts_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("d")).expect("a directory");
        fs::write(directory.path().join("d/f"), [0; 1_000]).expect("a file");
        let quota = Quota::new(20_000, Some(directory.path().to_owned()));
        quota.measure().await;
        quota.measure().await;
        assert!(quota.take(20_000 - 1_000 - 2 * ENTRY_BYTES) && !quota.take(1));
    }

    #[test]
    fn open_files_are_shared() {
        let all = OpenFiles::new(2);
        let (one, two) = (all.open(0), all.open(0));
        assert!(one.is_some() && two.is_some() && all.open(0).is_none());
        drop(one);
        assert!(all.open(0).is_some() && all.open(MAX_OPEN_FILES).is_none());
    }
}
