//! The one writer of a session.

use std::sync::Arc;

use sandbar_protocol::{DecidedBy, Event, EventBody, Result, RunId, SessionId};

use crate::live::Live;
use crate::queue::Command;
use crate::redaction::{self, Redaction};
use crate::store::Store;
use crate::subscription::Subscription;

/// The right to write a session, held until it is dropped.
///
/// After a commit has failed it accepts nothing more, and every call returns that error; what was committed before is kept,
/// and the session can be opened anew.
#[derive(Debug)]
pub struct SessionWriter {
    store: Store,
    live: Arc<Live>,
    redaction: Redaction,
}

impl SessionWriter {
    pub(crate) fn new(store: Store, live: Arc<Live>) -> Self {
        let redaction = Redaction::new(Arc::clone(store.protected()));
        Self { store, live, redaction }
    }

    pub fn session(&self) -> &SessionId {
        &self.live.session
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The sequence of the last event that was appended, committed or not; 0 before the first.
    pub fn head(&self) -> u64 {
        self.live.accepted()
    }

    /// Accepts an event and returns it with its sequence, without the values that must not be written. It is committed soon, in a group with others; `flush` waits for that.
    ///
    /// Waits only while a great deal is waiting for the disk. Events get their sequence in the order in which this returns.
    pub async fn append(&self, run: &RunId, body: EventBody) -> Result<Arc<Event>> {
        self.append_decided(run, body, DecidedBy::Default).await
    }

    /// The same for the beginning of an effect that somebody has decided on; the audit has it.
    pub async fn append_decided(&self, run: &RunId, body: EventBody, by: DecidedBy) -> Result<Arc<Event>> {
        let clean = self.redaction.event(body)?;
        if let Some(leak) = &clean.leak {
            (self.store.audit_sink())(redaction::entry(self.session(), run, &clean.event, leak));
        }
        let (body, written) = (clean.event, clean.body);
        let queue = self.store.queue();
        let room = queue.reserve(written.bytes()).await?;
        let at_ms = self.store.clock().now_ms();
        self.live.accept(body, |sequence, body| {
            let event = Arc::new(Event {
                session: self.live.session.clone(),
                sequence,
                run: run.clone(),
                at_ms,
                body,
            });
            queue.push(Command::Append {
                live: Arc::clone(&self.live),
                event: Arc::clone(&event),
                body: written,
                by,
                room,
            })?;
            Ok(event)
        })
    }

    /// Shows what a running call writes to those who read along, between the events. It is kept until the call has ended, for
    /// readers who come later, and never journaled. The call's `model.started` or `tool.started` must have been appended.
    pub fn preview(&self, effect: &str, text: &str) {
        match self.redaction.preview(effect, text) {
            Some(settled) => self.live.preview(effect, &settled),
            None => self.live.preview(effect, text),
        }
    }

    /// Waits until everything that was appended so far is committed.
    pub async fn flush(&self) -> Result<()> {
        if let Some(settled) = self.live.settled() {
            return settled;
        }
        let live = Arc::clone(&self.live);
        self.store.ask(|reply| Command::Flush { live, reply }).await
    }

    /// Gives the session back, and waits until another process could take it.
    pub async fn close(self) -> Result<()> {
        let store = self.store.clone();
        drop(self);
        store.settle().await
    }

    /// Reads along from the event after `after`; `head()` is from here on, 0 is from the start.
    pub fn subscribe(&self, after: u64) -> Subscription {
        self.store.subscription(&self.live.session, after, Some(&self.live))
    }
}

impl Drop for SessionWriter {
    fn drop(&mut self) {
        self.live.release();
        // With the writer gone there is no lease to release: its process is ending.
        let _ = self.store.queue().push(Command::Release {
            live: Arc::clone(&self.live),
        });
    }
}
