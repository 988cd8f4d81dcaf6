//! What is felt beside an attack: how late the host's timer is, and how much memory the process has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How long the timer sleeps each time.
const SLEEP: Duration = Duration::from_millis(5);

/// Sorted times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let index = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn longest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

/// Sleeps until it is over, and says how much later than asked it woke each time.
pub(crate) async fn lateness(over: &AtomicBool) -> Times {
    let mut late = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        tokio::time::sleep(SLEEP).await;
        // Tokio's timers are in whole milliseconds, and never early.
        late.push(asked.elapsed().saturating_sub(SLEEP));
    }
    Times::new(late)
}

/// Forgets the most that this process had resident, and says what it has now.
pub(crate) fn reset_peak() -> Result<u64> {
    std::fs::write("/proc/self/clear_refs", "5").context("this system doesn't tell how much memory a process had")?;
    peak()
}

/// The most that this process had resident since then.
pub(crate) fn peak() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status").context("no /proc")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib << 10).context("`/proc/self/status` has no VmHWM")
}
