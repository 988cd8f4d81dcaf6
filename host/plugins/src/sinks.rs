//! What a plugin tells while it works, and what it reads of the run: bounded, and without protected values.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::bindings::{pattern, tool};
use crate::boundary::Boundary;
use crate::guest::GuestState;
use crate::limits::{MAX_READ_BYTES, MAX_SINK_CALLS, SINK_RATE};
use crate::rates::Rates;

/// How much of each sink the plugins of all sessions have used lately.
#[derive(Debug, Default)]
pub(crate) struct SinkRates(Mutex<Rates<RateOf>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct RateOf {
    sink: Sink,
    plugin: Arc<str>,
    session: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sink {
    Log,
    Progress,
}

/// A plugin in a session, which tells something.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    pub(crate) rates: Arc<SinkRates>,
    pub(crate) plugin: Arc<str>,
    pub(crate) session: Arc<str>,
}

impl Teller {
    fn may_tell(&self, sink: Sink, bytes: usize, now: Instant) -> bool {
        let of = RateOf {
            sink,
            plugin: self.plugin.clone(),
            session: self.session.clone(),
        };
        // An empty text is told, too.
        let amount = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        let mut rates = self.rates.0.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(of, SINK_RATE, amount, now)
    }
}

/// Bytes and calls that a sink still takes in this call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    bytes: usize,
    calls: u32,
    pub(crate) dropped: u64,
}

impl Bucket {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            calls: MAX_SINK_CALLS,
            dropped: 0,
        }
    }

    /// The part of a text that still fits, without protected values: it is searched before it is cut, since of a value across the end the
    /// beginning would be left. What doesn't fit ends the sink, so that a flood is not searched.
    fn take(&mut self, boundary: &Boundary, place: &str, text: String) -> String {
        if self.is_over() {
            self.dropped += text.len() as u64;
            return String::new();
        }
        let mut text = boundary.text(place, text);
        let fits = text.floor_char_boundary(self.bytes);
        let over = text.len() - fits;
        text.truncate(fits);
        self.calls -= 1;
        self.bytes = if over > 0 { 0 } else { self.bytes - fits };
        self.dropped += over as u64;
        text
    }

    /// The same for who may tell only so much in a while: what is over that is dropped, and not searched.
    fn take_from(&mut self, teller: &Teller, sink: Sink, boundary: &Boundary, place: &str, text: String) -> String {
        if !self.is_over() && !teller.may_tell(sink, text.len().min(self.bytes), Instant::now()) {
            self.calls -= 1;
            self.dropped += text.len() as u64;
            return String::new();
        }
        self.take(boundary, place, text)
    }

    /// Whether it takes nothing more in this call.
    fn is_over(&self) -> bool {
        self.calls == 0 || self.bytes == 0
    }
}

impl tool::sandbar::plugin::log::Host for GuestState {
    fn write(&mut self, level: tool::sandbar::plugin::log::Level, message: String) {
        use tool::sandbar::plugin::log::Level;
        let boundary = self.http.boundary();
        let message = self
            .log
            .take_from(&self.teller, Sink::Log, boundary, "a log message", message);
        if message.is_empty() {
            return;
        }
        let plugin = &*self.plugin;
        match level {
            Level::Debug => tracing::debug!(plugin, "{}", message.escape_debug()),
            Level::Info => tracing::info!(plugin, "{}", message.escape_debug()),
            Level::Warn => tracing::warn!(plugin, "{}", message.escape_debug()),
            Level::Error => tracing::error!(plugin, "{}", message.escape_debug()),
        }
    }
}

impl tool::sandbar::plugin::progress::Host for GuestState {
    fn report(&mut self, text: String) {
        let boundary = self.http.boundary();
        let text = self
            .progress
            .take_from(&self.teller, Sink::Progress, boundary, "progress", text);
        if let (Some(progress), false) = (&self.ports.progress, text.is_empty()) {
            progress(&text);
        }
    }
}

impl pattern::sandbar::plugin::history::Host for GuestState {
    fn read(&mut self, id: String, offset: u64, length: u32) -> Option<String> {
        let text = self.ports.history.as_ref()?(&id)?;
        let start = text.ceil_char_boundary(usize::try_from(offset).unwrap_or(usize::MAX).min(text.len()));
        let end = start
            .saturating_add(length.min(MAX_READ_BYTES) as usize)
            .min(text.len());
        Some(text[start..text.floor_char_boundary(end).max(start)].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sandbar_protocol::Protected;

    use super::*;
    use crate::boundary::Whose;
    use crate::egress::EgressSettings;
    use crate::limits::MAX_LOG_BYTES;

    const VALUE: &str = "s3cr3t-value-of-weather";

    /// What comes out of a sink of so many bytes.
    fn check(bytes: usize, texts: &[&str], expected: &[&str], dropped: u64) {
        let settings = EgressSettings {
            protected: Arc::new(Protected::new([("key".to_owned(), VALUE.to_owned())])),
            ..EgressSettings::default()
        };
        let boundary = Boundary::new(&settings, "weather".into(), Whose::default());
        let mut bucket = Bucket::new(bytes);
        let taken = texts
            .iter()
            .map(|text| bucket.take(&boundary, "a text", (*text).to_owned()));
        assert_eq!(taken.collect::<Vec<_>>(), expected);
        assert_eq!(bucket.dropped, dropped);
    }

    #[test]
    fn a_text_is_searched_before_it_is_cut() {
        let text = format!("the key is {VALUE}, they say");
        check(100, &[&text], &["the key is [redacted], they say"], 0);
        for most in 11..=11 + "[redacted]".len() {
            check(most, &[&text], &[&"the key is [redacted]"[..most]], (31 - most) as u64);
        }
        let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
        check(14, &[&hex], &["[redacted]"], 0);
        check(4, &[&hex], &["[red"], 6);
    }

    /// A plugin that tells all that a call may, in call after call.
    #[test]
    fn a_session_tells_so_much_in_a_while() {
        let teller = |plugin: &str, session: &str, rates: &Arc<SinkRates>| Teller {
            rates: rates.clone(),
            plugin: plugin.into(),
            session: session.into(),
        };
        let (rates, start) = (Arc::default(), Instant::now());
        let chatty = teller("chatty", "one", &rates);
        let burst = SINK_RATE.burst as usize;
        let calls = (0..100).filter(|_| chatty.may_tell(Sink::Log, MAX_LOG_BYTES, start));
        assert_eq!(calls.count(), burst / MAX_LOG_BYTES);
        assert!(!chatty.may_tell(Sink::Log, 0, start), "an empty text is one, too");
        let second = start + Duration::from_secs(1);
        assert!(!chatty.may_tell(Sink::Log, SINK_RATE.per_second as usize + 1, second));
        assert!(chatty.may_tell(Sink::Log, SINK_RATE.per_second as usize, second));
        // Nobody else has to be quiet for it.
        assert!(chatty.may_tell(Sink::Progress, burst, start));
        assert!(teller("chatty", "other", &rates).may_tell(Sink::Log, burst, start));
        assert!(teller("modest", "one", &rates).may_tell(Sink::Log, burst, start));
    }

    /// Texts that cost the guest nothing: as many as may be are taken, then no more, however many bytes are left.
    #[test]
    fn calls_are_counted() {
        let most = MAX_SINK_CALLS as usize;
        for text in ["", "x"] {
            let mut expected = vec![text; most];
            expected.extend(["", ""]);
            let over = 2 * text.len() as u64;
            check(2 * most, &vec![text; most + 2], &expected, over);
        }
        let mut texts = vec![""; most];
        texts.push("x");
        check(2 * most, &texts, &vec![""; most + 1], 1);
    }

    #[test]
    fn what_does_not_fit_ends_the_sink() {
        check(6, &["one", "two", "three"], &["one", "two", ""], 5);
        check(6, &["one", "three", "x"], &["one", "thr", ""], 3);
        check(3, &["\u{fc}\u{fc}", "x"], &["\u{fc}", ""], 3);
        check(9, &["", "x"], &["", "x"], 0);
    }
}
