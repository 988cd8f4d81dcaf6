//! Clock and random numbers of a pattern: a function of run and step, so that a step that is asked again decides the same.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::TryRng;
use sha2::{Digest, Sha256};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// What a step's clock and random numbers are derived from; set anew before each step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seed(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    random: AtomicU64,
    time: AtomicU64,
}

/// 2026-01-01 UTC, in seconds: a plausible time for a guest that formats dates.
const EPOCH: u64 = 1_767_225_600;

impl Seed {
    pub(crate) fn set(&self, run: &str, step: u32) {
        let digest = Sha256::new()
            .chain_update(run)
            .chain_update(step.to_le_bytes())
            .finalize();
        let seed = u64::from_le_bytes(digest[..8].try_into().expect("a SHA-256 has 32 bytes"));
        self.0.random.store(seed, Ordering::Relaxed);
        self.0.time.store(u64::from(step) * 1_000_000_000, Ordering::Relaxed);
    }

    /// Nanoseconds; every question is a microsecond later, so that a guest that waits for the clock to move gets on.
    fn time(&self) -> u64 {
        self.0.time.fetch_add(1_000, Ordering::Relaxed)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn random(&self) -> u64 {
        let state = self.0.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl HostWallClock for Seed {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        Duration::from_secs(EPOCH) + Duration::from_nanos(self.time())
    }
}

impl HostMonotonicClock for Seed {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        self.time()
    }
}

impl TryRng for Seed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.random() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.random())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.random().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}
