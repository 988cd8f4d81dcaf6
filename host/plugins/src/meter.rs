//! What one call has used, asked at every epoch tick and by the outer timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sandbar_protocol::{Error, ErrorKind};

use crate::error::limit;
use crate::limits::{GuestLimits, TICK};

/// Shared by the future of a call, its store's epoch callback, and the lane.
///
/// Ticks drift under load (measured: 1 ms ticks let a 50 ms budget overrun by 61), so the callback compares clocks.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: GuestLimits,
    started: Instant,
    /// Processor time of the slices that are over, in nanoseconds.
    used: AtomicU64,
    /// The thread's processor time at the start of the current slice.
    slice: AtomicU64,
    /// Bytes of guest memory when last looked at; it never shrinks.
    memory: AtomicU64,
    overstayed: AtomicBool,
    abandoned: AtomicBool,
}

/// What one call of a plugin has used, whether it went well or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallStats {
    pub plugin: Arc<str>,
    /// Time on a processor.
    pub cpu: Duration,
    /// From start to end, without the wait for a place.
    pub wall: Duration,
    /// Of the instance, at most; looked at when it starts, at each tick, and when the call ends.
    pub peak_memory_bytes: u64,
}

/// Whether a guest may stay on its thread until the next tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slice {
    Going,
    Over,
}

impl Meter {
    pub(crate) fn start(limits: GuestLimits) -> Self {
        Self {
            limits,
            started: Instant::now(),
            used: AtomicU64::new(0),
            slice: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            overstayed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        }
    }

    pub(crate) fn begin_slice(&self) {
        self.slice.store(thread_cpu(), Ordering::Relaxed);
    }

    /// Gives the processor time of the slice.
    pub(crate) fn end_slice(&self) -> u64 {
        let slice = thread_cpu().saturating_sub(self.slice.load(Ordering::Relaxed));
        self.used.fetch_add(slice, Ordering::Relaxed);
        slice
    }

    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    pub(crate) fn wall(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn limits(&self) -> GuestLimits {
        self.limits
    }

    pub(crate) fn note_memory(&self, bytes: u64) {
        self.memory.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self, plugin: &Arc<str>) -> CallStats {
        CallStats {
            plugin: plugin.clone(),
            cpu: self.cpu(),
            wall: self.wall(),
            peak_memory_bytes: self.memory.load(Ordering::Relaxed),
        }
    }

    /// Called on the guest's thread at a tick: an error if it must stop, otherwise whether it has had its slice.
    pub(crate) fn check(&self) -> Result<Slice, Error> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled", "the call was cancelled"));
        }
        let slice = Duration::from_nanos(thread_cpu().saturating_sub(self.slice.load(Ordering::Relaxed)));
        if self.cpu() + slice >= self.limits.cpu {
            return Err(self.cpu_exceeded());
        }
        if self.wall() >= self.limits.wall {
            return Err(self.wall_exceeded());
        }
        if slice < TICK {
            // A tick came by in the middle of a short call: moving every such call would cost more than it saves.
            return Ok(Slice::Going);
        }
        self.overstayed.store(true, Ordering::Relaxed);
        Ok(Slice::Over)
    }

    pub(crate) fn has_overstayed(&self) -> bool {
        self.overstayed.load(Ordering::Relaxed)
    }

    /// Nobody waits for the call any more.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    fn cpu_exceeded(&self) -> Error {
        limit(
            "cpu-limit",
            format!("stopped after {} of processor time", duration(self.limits.cpu)),
        )
        .with_hint("if the work is honest, raise `limits.cpu_ms` in sandbar.toml")
    }

    pub(crate) fn wall_exceeded(&self) -> Error {
        limit("wall-limit", format!("stopped after {}", duration(self.limits.wall)))
            .with_hint("if the wait is honest, raise `limits.wall_ms` in sandbar.toml")
    }
}

fn duration(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{} s", time.as_secs())
    }
}

/// Processor time of this thread in nanoseconds: time for which another process had the processor isn't the guest's.
fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
