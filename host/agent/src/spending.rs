//! What a run has used, against what it may.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sandbar_protocol::{Limits, Usage};

#[derive(Debug)]
pub(crate) struct Spending {
    limits: Limits,
    started: Instant,
    tool_calls: AtomicU32,
    model_calls: AtomicU32,
    usage: Mutex<Usage>,
}

impl Spending {
    pub(crate) fn start(limits: Limits) -> Self {
        Self {
            limits,
            started: Instant::now(),
            tool_calls: AtomicU32::new(0),
            model_calls: AtomicU32::new(0),
            usage: Mutex::default(),
        }
    }

    /// Whether one more tool call is within the limit; counts it if so.
    pub(crate) fn take_tool_call(&self) -> bool {
        self.tool_calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
                (calls < self.limits.tool_calls).then_some(calls + 1)
            })
            .is_ok()
    }

    pub(crate) fn add_model_call(&self, usage: Usage) {
        self.model_calls.fetch_add(1, Ordering::Relaxed);
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).add(usage);
    }

    pub(crate) fn tool_calls(&self) -> u32 {
        self.tool_calls.load(Ordering::Relaxed)
    }

    pub(crate) fn model_calls(&self) -> u32 {
        self.model_calls.load(Ordering::Relaxed)
    }

    pub(crate) fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn wall(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn wall_left(&self) -> Duration {
        Duration::from_millis(self.limits.wall_ms).saturating_sub(self.wall())
    }
}
