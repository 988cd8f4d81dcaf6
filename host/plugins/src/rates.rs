//! Token buckets: so much at once, and so much a second in the long run.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use crate::limits::Rate;

/// Buckets that are looked through for full ones when there are more; a full one is as good as none.
pub(crate) const MANY_BUCKETS: usize = 1_024;

/// A bucket for each of something.
#[derive(Debug)]
pub(crate) struct Rates<K>(HashMap<K, Bucket>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl<K: Eq + Hash> Rates<K> {
    /// Whether there is so much in the bucket; if so it is taken. One is always asked for with the same rate.
    pub(crate) fn take(&mut self, of: K, rate: Rate, amount: u32, now: Instant) -> bool {
        if self.0.len() >= MANY_BUCKETS {
            self.0.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = self.0.entry(of).or_insert(Bucket {
            rate,
            tokens: rate.burst.into(),
            at: now,
        });
        bucket.take(amount, now)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl Bucket {
    fn take(&mut self, amount: u32, now: Instant) -> bool {
        self.tokens = self.filled(now);
        self.at = now;
        let has = self.tokens >= f64::from(amount);
        if has {
            self.tokens -= f64::from(amount);
        }
        has
    }

    fn filled(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + passed * f64::from(self.rate.per_second)).min(self.rate.burst.into())
    }

    fn is_full(&self, now: Instant) -> bool {
        self.filled(now) >= self.rate.burst.into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate {
        burst: 100,
        per_second: 10,
    };

    #[test]
    fn a_bucket_gives_what_is_in_it() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        // After so many milliseconds, so much is asked for.
        for (of, ms, amount, given) in [
            ("a", 0, 101, false),
            ("a", 0, 60, true),
            ("a", 0, 41, false),
            ("a", 0, 40, true),
            ("a", 0, 1, false),
            ("b", 0, 100, true),
            ("a", 1_000, 11, false),
            ("a", 1_000, 10, true),
            ("a", 100_000, 101, false),
            ("a", 100_000, 100, true),
        ] {
            let taken = rates.take(of, RATE, amount, start + Duration::from_millis(ms));
            assert_eq!(taken, given, "{of} {ms} {amount}");
        }
    }
}
