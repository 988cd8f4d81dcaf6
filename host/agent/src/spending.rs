//! What a run has used, against what it may.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandbar_protocol::{Limits, Usage};
use tokio::sync::Notify;

use crate::tape::DelegateEnd;

#[derive(Debug)]
pub(crate) struct Spending {
    limits: Mutex<Limits>,
    started: Instant,
    /// Used before this process had the run.
    before: Duration,
    tool_calls: AtomicU32,
    model_calls: AtomicU32,
    usage: Mutex<Usage>,
    pauses: Mutex<Pauses>,
    /// Told when time is added that went by elsewhere.
    added: Notify,
}

/// Time in which the run waits for a person.
#[derive(Debug, Default)]
struct Pauses {
    /// Questions that are open.
    open: u32,
    since: Option<Instant>,
    past: Duration,
    /// In which others worked for the run while it waited for them.
    delegated: Duration,
}

/// The run's clock stands still until this is dropped.
#[derive(Debug)]
pub(crate) struct Pause<'a>(&'a Spending);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut pauses = lock(&self.0.pauses);
        pauses.open -= 1;
        if pauses.open == 0
            && let Some(since) = pauses.since.take()
        {
            pauses.past += since.elapsed();
        }
    }
}

impl Spending {
    pub(crate) fn start(limits: Limits, before: Duration) -> Self {
        Self {
            limits: Mutex::new(limits),
            started: Instant::now(),
            before,
            tool_calls: AtomicU32::new(0),
            model_calls: AtomicU32::new(0),
            usage: Mutex::default(),
            pauses: Mutex::default(),
            added: Notify::new(),
        }
    }

    /// Whether one more tool call is within the limit; counts it if so.
    pub(crate) fn take_tool_call(&self) -> bool {
        let most = self.limits().tool_calls;
        self.tool_calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
                (calls < most).then_some(calls + 1)
            })
            .is_ok()
    }

    /// Counts one that was made already, whatever the limit is now.
    pub(crate) fn count_tool_call(&self) {
        self.tool_calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_model_call(&self, usage: Usage) {
        self.model_calls.fetch_add(1, Ordering::Relaxed);
        lock(&self.usage).add(usage);
    }

    /// What another agent has used for the run.
    pub(crate) fn add_delegated(&self, end: &DelegateEnd, time: Duration) {
        self.tool_calls.fetch_add(end.tool_calls, Ordering::Relaxed);
        self.model_calls.fetch_add(end.model_calls, Ordering::Relaxed);
        lock(&self.usage).add(end.usage);
        lock(&self.pauses).delegated += time;
        self.added.notify_one();
    }

    pub(crate) fn tool_calls(&self) -> u32 {
        self.tool_calls.load(Ordering::Relaxed)
    }

    pub(crate) fn model_calls(&self) -> u32 {
        self.model_calls.load(Ordering::Relaxed)
    }

    pub(crate) fn usage(&self) -> Usage {
        *lock(&self.usage)
    }

    pub(crate) fn limits(&self) -> Limits {
        *lock(&self.limits)
    }

    /// A person lets the run go on.
    pub(crate) fn extend(&self, extend: impl FnOnce(&mut Limits)) {
        extend(&mut lock(&self.limits));
    }

    pub(crate) fn wall(&self) -> Duration {
        let pauses = lock(&self.pauses);
        let now = pauses.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.before + pauses.delegated + self.started.elapsed().saturating_sub(pauses.past + now)
    }

    pub(crate) fn pause(&self) -> Pause<'_> {
        let mut pauses = lock(&self.pauses);
        pauses.open += 1;
        pauses.since.get_or_insert_with(Instant::now);
        Pause(self)
    }

    /// Resolves when the run's wall time is over.
    pub(crate) async fn over(&self) {
        loop {
            let left = self.wall_left();
            if left.is_zero() {
                return;
            }
            // A pause in between leaves some: look again then. Time that went by elsewhere takes some.
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.added.notified() => {}
            }
        }
    }

    pub(crate) fn wall_left(&self) -> Duration {
        Duration::from_millis(self.limits().wall_ms).saturating_sub(self.wall())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
