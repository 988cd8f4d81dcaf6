//! What a plugin tells while it works, and what it reads of the run: bounded, and without protected values.

use crate::bindings::{pattern, tool};
use crate::guest::GuestState;
use crate::limits::{MAX_READ_BYTES, MAX_SINK_CALLS};

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

    /// The part of the text that still fits.
    fn take<'a>(&mut self, text: &'a str) -> &'a str {
        let fits = if self.calls == 0 {
            0
        } else {
            text.floor_char_boundary(self.bytes)
        };
        self.calls = self.calls.saturating_sub(1);
        self.bytes -= fits;
        self.dropped += (text.len() - fits) as u64;
        &text[..fits]
    }
}

impl tool::sandbar::plugin::log::Host for GuestState {
    fn write(&mut self, level: tool::sandbar::plugin::log::Level, message: String) {
        use tool::sandbar::plugin::log::Level;
        let message = self.log.take(&message).to_owned();
        if message.is_empty() {
            return;
        }
        let message = self.caller().boundary.text("a log message", message);
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
        let text = self.progress.take(&text).to_owned();
        let text = self.caller().boundary.text("progress", text);
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
