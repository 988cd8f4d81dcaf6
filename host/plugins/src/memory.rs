//! Memory: one budget for all guests of the host, and the limiter of one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

use crate::limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};

/// The host-wide sum of guests' linear memories.
///
/// A quarter of it is kept for what each instance may have whatever the others took: without it a few hundred that take all they can leave
/// nothing to a small one that begins.
#[derive(Debug)]
pub(crate) struct GuestMemory {
    budget: u64,
    /// What each instance may have of the part that is kept.
    each: u64,
    used: AtomicU64,
}

impl GuestMemory {
    pub(crate) fn new(budget: u64, instances: u32) -> Self {
        Self {
            budget,
            each: budget / 4 / u64::from(instances.max(1)),
            used: AtomicU64::new(0),
        }
    }

    /// For an instance that will have `held` then.
    fn take(&self, bytes: u64, held: u64) -> bool {
        let budget = if held <= self.each {
            self.budget
        } else {
            self.budget - self.budget / 4
        };
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                let sum = used.checked_add(bytes)?;
                (sum <= budget).then_some(sum)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    #[cfg(test)]
    fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }
}

/// Why growth was refused, so that a trap that follows can be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The plugin's own limit in bytes.
    Memory(u64),
    /// The host-wide budget in bytes.
    HostMemory(u64),
    TableElements,
}

/// Counts what one store's instances hold; gives it back to the host's budget when the store is dropped.
#[derive(Debug)]
pub(crate) struct StoreLimiter {
    host: Arc<GuestMemory>,
    limit: u64,
    held: u64,
    table_elements: usize,
    /// What `memory_growing` added last: wasmtime tells us afterwards if the growth failed all the same.
    pending: u64,
    pub(crate) refusal: Option<Refusal>,
}

impl StoreLimiter {
    pub(crate) fn new(host: Arc<GuestMemory>, limit: u64) -> Self {
        Self {
            host,
            limit,
            held: 0,
            table_elements: 0,
            pending: 0,
            refusal: None,
        }
    }

    /// The sum of the linear memories in bytes.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }
}

impl ResourceLimiter for StoreLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        self.pending = 0;
        if maximum.is_some_and(|maximum| desired > maximum) || self.held.saturating_add(more) > self.limit {
            self.refusal = Some(Refusal::Memory(self.limit));
            return Ok(false);
        }
        if !self.host.take(more, self.held.saturating_add(more)) {
            self.refusal = Some(Refusal::HostMemory(self.host.budget));
            return Ok(false);
        }
        self.held += more;
        self.pending = more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.held -= self.pending;
        self.host.give_back(self.pending);
        self.pending = 0;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.table_elements + desired.saturating_sub(current);
        if sum > MAX_TABLE_ELEMENTS {
            self.refusal = Some(Refusal::TableElements);
            return Ok(false);
        }
        self.table_elements = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

impl Drop for StoreLimiter {
    fn drop(&mut self) {
        self.host.give_back(self.held);
    }
}

/// A quarter of the machine's memory; 1 GiB where it can't be found out.
pub(crate) fn default_budget() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let info = rustix::system::sysinfo();
        (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)) / 4
    }
    #[cfg(not(target_os = "linux"))]
    {
        1 << 30
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_a_store_are_summed_and_given_back() {
        let host = Arc::new(GuestMemory::new(200, 10));
        let mut store = StoreLimiter::new(host.clone(), 100);
        assert!(store.memory_growing(0, 60, None).unwrap());
        assert!(!store.memory_growing(0, 60, None).unwrap());
        assert_eq!(store.refusal, Some(Refusal::Memory(100)));
        let mut other = StoreLimiter::new(host.clone(), 100);
        assert!(!other.memory_growing(0, 95, None).unwrap());
        assert_eq!(other.refusal, Some(Refusal::HostMemory(200)));
        assert!(other.memory_growing(0, 90, None).unwrap());
        other.memory_grow_failed(wasmtime::Error::msg("no pages")).unwrap();
        assert_eq!(host.used(), 60);
        assert!(other.memory_growing(0, 90, None).unwrap());
        // Only what is kept for small ones is left.
        let mut third = StoreLimiter::new(host.clone(), 100);
        assert!(!third.memory_growing(0, 6, None).unwrap());
        assert!(third.memory_growing(0, 5, None).unwrap());
        drop(third);
        drop((store, other));
        assert_eq!(host.used(), 0);
    }
}
