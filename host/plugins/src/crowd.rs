//! Who waits for a first slice on the callers' runtime, and whether those before took all of theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Others that wait, from which on it is a crowd.
const MANY: usize = 2;
/// For how long one that overstayed its slice makes those behind it suspect.
const RECENT: Duration = Duration::from_millis(20);

/// Two hundred calls that loop, started at the same instant, would have a first slice of a millisecond each, one after the other, and the
/// runtime would do little else meanwhile. Two hundred short ones are done in a few, and moving them would cost more than it saves.
#[derive(Debug)]
pub(crate) struct Crowd {
    waiting: AtomicUsize,
    started: Instant,
    /// When a first slice was overstayed, in nanoseconds since then; 0: never.
    overstayed: AtomicU64,
}

/// One that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Crowd>);

impl Crowd {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicUsize::new(0),
            started: Instant::now(),
            overstayed: AtomicU64::new(0),
        })
    }

    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }

    /// A first slice was used up, and the call isn't done.
    pub(crate) fn note_overstay(&self) {
        self.overstayed.store(self.now().max(1), Ordering::Relaxed);
    }

    /// Whether another call had better not wait for a first slice here.
    pub(crate) fn is_there(&self) -> bool {
        if self.waiting.load(Ordering::Relaxed) < MANY {
            return false;
        }
        let overstayed = self.overstayed.load(Ordering::Relaxed);
        overstayed > 0 && self.now().saturating_sub(overstayed) < RECENT.as_nanos() as u64
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_wait_are_a_crowd_behind_one_that_overstayed() {
        let crowd = Crowd::new();
        let waiting: Vec<_> = (0..MANY).map(|_| crowd.wait()).collect();
        assert!(!crowd.is_there(), "all of them may be short");
        crowd.note_overstay();
        assert!(crowd.is_there());
        drop(waiting);
        assert!(!crowd.is_there(), "nobody waits any more");
    }
}
