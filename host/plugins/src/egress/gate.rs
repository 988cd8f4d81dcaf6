//! How many requests there may be: at once, in a second, and of how many bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::egress::failure::Failure;
use crate::limits::{HOST_RATE, MAX_HELD_BYTES, MAX_PLUGIN_REQUESTS, MAX_SESSION_REQUESTS, Rate, SESSION_RATE};
use crate::rates::Rates;

/// Counts for all plugins and sessions of a host.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    of_session: HashMap<Arc<str>, u32>,
    of_plugin: HashMap<Arc<str>, u32>,
    rates: Rates<RateOf>,
    held: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum RateOf {
    Session { plugin: Arc<str>, session: Arc<str> },
    Host { plugin: Arc<str>, origin: String },
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    plugin: Arc<str>,
    session: Arc<str>,
}

/// Bytes of a body that the host holds.
#[derive(Debug)]
pub(crate) struct Held {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Gate {
    /// A place for a request; dropping it gives it back.
    pub(super) fn enter(self: &Arc<Self>, plugin: &Arc<str>, session: &Arc<str>) -> Result<Pass, Failure> {
        let mut counts = self.lock();
        let at_once = |most: u32, of: &str| {
            Failure::TooManyRequests(format!(
                "{most} requests of this {of} are under way, which is the limit"
            ))
        };
        if counts.of_session.get(session).copied().unwrap_or(0) >= MAX_SESSION_REQUESTS {
            return Err(at_once(MAX_SESSION_REQUESTS, "session"));
        }
        if counts.of_plugin.get(plugin).copied().unwrap_or(0) >= MAX_PLUGIN_REQUESTS {
            return Err(at_once(MAX_PLUGIN_REQUESTS, "plugin"));
        }
        *counts.of_session.entry(session.clone()).or_default() += 1;
        *counts.of_plugin.entry(plugin.clone()).or_default() += 1;
        Ok(Pass {
            gate: self.clone(),
            plugin: plugin.clone(),
            session: session.clone(),
        })
    }

    /// Counts one more request of a plugin in a session, whatever becomes of it.
    pub(super) fn count(&self, plugin: &Arc<str>, session: &Arc<str>, now: Instant) -> Result<(), Failure> {
        let of = RateOf::Session {
            plugin: plugin.clone(),
            session: session.clone(),
        };
        self.take(of, SESSION_RATE, now, "of this plugin")
    }

    /// Counts one more request to a host that it may ask.
    pub(super) fn count_host(&self, plugin: &Arc<str>, origin: String, now: Instant) -> Result<(), Failure> {
        let of = RateOf::Host {
            plugin: plugin.clone(),
            origin,
        };
        self.take(of, HOST_RATE, now, "to this host")
    }

    fn take(&self, of: RateOf, rate: Rate, now: Instant, whose: &str) -> Result<(), Failure> {
        if self.lock().rates.take(of, rate, 1, now) {
            return Ok(());
        }
        let Rate { burst, per_second } = rate;
        Err(Failure::TooManyRequests(format!(
            "more requests {whose} than {burst} at once and {per_second} a second"
        )))
    }

    /// To hold a body, piece by piece.
    pub(super) fn hold(self: &Arc<Self>) -> Held {
        Held {
            gate: self.clone(),
            bytes: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Some bytes more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let mut counts = self.gate.lock();
        if counts.held + bytes > MAX_HELD_BYTES {
            return Err(Failure::TooManyRequests(format!(
                "all requests together hold more than {} MiB",
                MAX_HELD_BYTES >> 20
            )));
        }
        counts.held += bytes;
        drop(counts);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.lock().held -= self.bytes;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.lock();
        let Counts {
            of_session, of_plugin, ..
        } = &mut *counts;
        for (count, key) in [(of_session, &self.session), (of_plugin, &self.plugin)] {
            let left = count.get(key).map_or(0, |count| count - 1);
            if left == 0 {
                count.remove(key);
            } else {
                count.insert(key.clone(), left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rates::MANY_BUCKETS;

    fn said(failure: &Failure) -> String {
        format!("{}: {failure}", failure.code())
    }

    #[test]
    fn a_session_and_a_plugin_have_so_many_at_once() {
        let gate = Arc::<Gate>::default();
        let plugin: Arc<str> = "weather".into();
        let session = |n: u32| -> Arc<str> { format!("s{n}").into() };
        let mut passes = Vec::new();
        for n in 0..MAX_PLUGIN_REQUESTS {
            passes.push(gate.enter(&plugin, &session(n / MAX_SESSION_REQUESTS)).unwrap());
        }
        let full = |enters: Result<Pass, Failure>| said(&enters.unwrap_err());
        assert_eq!(
            full(gate.enter(&"other".into(), &session(0))),
            "too-many-requests: 16 requests of this session are under way, which is the limit"
        );
        assert_eq!(
            full(gate.enter(&plugin, &session(9))),
            "too-many-requests: 64 requests of this plugin are under way, which is the limit"
        );
        assert!(gate.enter(&"other".into(), &session(9)).is_ok());
        passes.pop();
        assert!(gate.enter(&plugin, &session(9)).is_ok());
        passes.clear();
        let counts = gate.lock();
        assert!(
            counts.of_plugin.is_empty() && counts.of_session.is_empty(),
            "{counts:?}"
        );
    }

    #[test]
    fn requests_have_a_rate() {
        let gate = Gate::default();
        let (plugin, session): (Arc<str>, Arc<str>) = ("weather".into(), "s".into());
        let start = Instant::now();
        let count = |times: u32, now: Instant| {
            let counted = (0..times).filter(|_| gate.count(&plugin, &session, now).is_ok());
            counted.count() as u32
        };
        assert_eq!(count(SESSION_RATE.burst * 2, start), SESSION_RATE.burst);
        assert_eq!(count(1, start + Duration::from_millis(10)), 0);
        let second = start + Duration::from_millis(1_010);
        assert_eq!(count(SESSION_RATE.burst, second), SESSION_RATE.per_second);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(count(SESSION_RATE.burst * 2, later), SESSION_RATE.burst);
        assert_eq!(
            said(&gate.count(&plugin, &session, later).unwrap_err()),
            "too-many-requests: more requests of this plugin than 100 at once and 20 a second"
        );
        assert!(gate.count(&plugin, &"other".into(), later).is_ok());
        for n in 0..=HOST_RATE.burst {
            let counted = gate.count_host(&plugin, "https://a.example".to_owned(), later);
            assert_eq!(counted.is_ok(), n < HOST_RATE.burst, "{n}");
        }
        assert!(gate.count_host(&plugin, "https://b.example".to_owned(), later).is_ok());
    }

    /// Names of hosts are without end, where a rule has a wildcard.
    #[test]
    fn buckets_that_are_full_again_are_dropped() {
        let gate = Gate::default();
        let start = Instant::now();
        for n in 0..MANY_BUCKETS {
            gate.count_host(&"weather".into(), n.to_string(), start).unwrap();
        }
        gate.count_host(&"weather".into(), "one more".to_owned(), start + Duration::from_secs(1))
            .unwrap();
        assert_eq!(gate.lock().rates.len(), 1);
    }

    #[test]
    fn bodies_have_a_sum() {
        let gate = Arc::<Gate>::default();
        let (mut one, mut other) = (gate.hold(), gate.hold());
        one.grow(MAX_HELD_BYTES - 1).unwrap();
        other.grow(1).unwrap();
        assert_eq!(
            said(&other.grow(1).unwrap_err()),
            "too-many-requests: all requests together hold more than 256 MiB"
        );
        drop(one);
        other.grow(1).unwrap();
        drop(other);
        assert_eq!(gate.lock().held, 0);
    }
}
