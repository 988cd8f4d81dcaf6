//! How many of the process's open files guests may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::MAX_OPEN_FILES;

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
    pub(super) fn open(self: &Arc<Self>, held: usize) -> Option<OpenFile> {
        if held >= MAX_OPEN_FILES {
            return None;
        }
        let fits = |open: usize| (open < self.limit).then_some(open + 1);
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()?;
        Some(OpenFile(self.clone()))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_shared() {
        let all = OpenFiles::new(2);
        let (one, two) = (all.open(0), all.open(0));
        assert!(one.is_some() && two.is_some() && all.open(0).is_none());
        drop(one);
        assert!(all.open(0).is_some() && all.open(MAX_OPEN_FILES).is_none());
    }
}
