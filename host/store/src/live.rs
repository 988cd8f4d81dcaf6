//! A session that is being written in this process: where its journal stands, and who reads along.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sandbar_protocol::{Delta, Error, Event, EventBody, Result, SessionId};

use crate::event_row::{self, Checksum};
use crate::lock;
use crate::mailbox::{Item, Mailbox};
use crate::previews::{Calls, Places, Wanted};

/// The sessions that are being written, by id.
pub(crate) type LiveSessions = Mutex<HashMap<SessionId, Arc<Live>>>;

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) session: SessionId,
    state: Mutex<State>,
}

/// The end of what is committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tip {
    pub(crate) fence: u64,
    pub(crate) head: u64,
    pub(crate) checksum: Checksum,
}

#[derive(Debug)]
struct State {
    tip: Tip,
    /// Whether `tip` is what the journal has; not before the lease is taken.
    known: bool,
    /// The sequence of the last event that was accepted, committed or not.
    accepted: u64,
    /// Events that were accepted and are not shown yet.
    queued: usize,
    /// Set once, by a commit that failed: nothing more is accepted.
    failure: Option<Error>,
    /// The session writer is gone.
    released: bool,
    ended: bool,
    /// What is being written while it is not known how it ends.
    calls: Calls,
    mailboxes: Vec<Arc<Mailbox>>,
}

impl Live {
    /// `begins` where the session is a new one: its journal is known to be empty.
    pub(crate) fn new(session: &SessionId, begins: bool) -> Self {
        Self {
            session: session.clone(),
            state: Mutex::new(State {
                tip: Tip {
                    fence: 0,
                    head: 0,
                    checksum: event_row::seed(session),
                },
                known: begins,
                accepted: 0,
                queued: 0,
                failure: None,
                released: false,
                ended: false,
                calls: Calls::default(),
                mailboxes: Vec::new(),
            }),
        }
    }

    pub(crate) fn tip(&self) -> Tip {
        lock(&self.state).tip
    }

    pub(crate) fn accepted(&self) -> u64 {
        lock(&self.state).accepted
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        lock(&self.state).failure.clone()
    }

    /// None while something is on its way; else how the journal stands.
    pub(crate) fn settled(&self) -> Option<Result<()>> {
        let state = lock(&self.state);
        match &state.failure {
            Some(failure) => Some(Err(failure.clone())),
            None => (state.queued == 0 && state.tip.fence > 0).then_some(Ok(())),
        }
    }

    /// Gives the next sequence to what `enqueue` puts into the queue, in one critical section: the queue has the events of a
    /// session in their order. `enqueue` says whether the queue took it.
    pub(crate) fn accept<T>(&self, body: EventBody, enqueue: impl FnOnce(u64, EventBody) -> Result<T>) -> Result<T> {
        let mut state = lock(&self.state);
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let sequence = state.accepted + 1;
        // If the queue refuses, it does so for good: then nobody is shown anything.
        state.calls.accept(sequence, &body);
        let queued = enqueue(sequence, body)?;
        state.accepted = sequence;
        state.queued += 1;
        Ok(queued)
    }

    /// Keeps what a running call has written; readers take it from here once they have the event that began the call.
    pub(crate) fn preview(&self, effect: &str, text: &str) {
        let mut state = lock(&self.state);
        if !state.ended && state.calls.write(effect, text) {
            for mailbox in state.read() {
                mailbox.wake();
            }
        }
    }

    /// Text for a reader that has the events up to `last`.
    pub(crate) fn unread(&self, wanted: Wanted, last: u64, places: &Places) -> Option<Delta> {
        lock(&self.state).calls.unread(wanted, last, places)
    }

    /// Called when a transaction has been committed, before its events are shown.
    pub(crate) fn committed(&self, tip: Tip) {
        let mut state = lock(&self.state);
        state.tip = tip;
        state.known = true;
        state.accepted = state.accepted.max(tip.head);
    }

    pub(crate) fn show_event(&self, event: &Arc<Event>) {
        let mut state = lock(&self.state);
        state.queued -= 1;
        if state.failure.is_none() {
            state.show_ended(event.sequence);
            state.show(|| Item::Event(Arc::clone(event)));
        }
    }

    pub(crate) fn fail(&self, error: &Error) {
        let mut state = lock(&self.state);
        if state.failure.is_none() {
            state.failure = Some(error.clone());
            state.end();
        }
    }

    /// Nothing more will be accepted. Readers are told at once if they have everything.
    pub(crate) fn release(&self) {
        let mut state = lock(&self.state);
        state.released = true;
        if state.queued == 0 {
            state.end();
        }
    }

    /// Everything that was accepted has been shown.
    pub(crate) fn finish(&self) {
        lock(&self.state).end();
    }

    pub(crate) fn is_released(&self) -> bool {
        lock(&self.state).released
    }

    /// A mailbox that gets everything that is shown from now on, and the sequence of the last event before if that is known.
    pub(crate) fn listen(&self) -> (Option<u64>, Option<Arc<Mailbox>>) {
        let mut state = lock(&self.state);
        let head = state.known.then_some(state.tip.head);
        if state.ended && state.failure.is_none() {
            return (head, None);
        }
        let mailbox = Arc::new(Mailbox::default());
        if state.ended {
            mailbox.end(state.failure.clone());
        } else {
            state.mailboxes.push(Arc::clone(&mailbox));
        }
        (head, Some(mailbox))
    }
}

impl State {
    fn show(&mut self, item: impl Fn() -> Item) {
        for mailbox in self.read() {
            mailbox.push(item());
        }
    }

    /// Whoever listens gets the whole text of a call before the event that ends it, however slowly it reads.
    fn show_ended(&mut self, sequence: u64) {
        for call in self.calls.take_ended(sequence) {
            if !call.is_silent() {
                let call = Arc::new(call);
                self.show(|| Item::Ended(Arc::clone(&call)));
            }
        }
    }

    /// The mailboxes that have a reader: one that only this list holds has lost it.
    fn read(&mut self) -> &[Arc<Mailbox>] {
        self.mailboxes.retain(|mailbox| Arc::strong_count(mailbox) > 1);
        &self.mailboxes
    }

    fn end(&mut self) {
        self.ended = true;
        self.calls = Calls::default();
        for mailbox in std::mem::take(&mut self.mailboxes) {
            mailbox.end(self.failure.clone());
        }
    }
}
