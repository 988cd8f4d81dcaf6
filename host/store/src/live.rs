//! A session that is being written in this process: where its journal stands, and who reads along.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sandbar_protocol::{Delta, Error, Event, Result, SessionId};

use crate::journal::{self, Checksum};
use crate::lock;
use crate::mailbox::{Item, Mailbox};

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
    /// Events and previews that were accepted and are not shown yet.
    queued: usize,
    /// Set once, by a commit that failed: nothing more is accepted.
    failure: Option<Error>,
    /// The session writer is gone.
    released: bool,
    ended: bool,
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
                    checksum: journal::seed(session),
                },
                known: begins,
                accepted: 0,
                queued: 0,
                failure: None,
                released: false,
                ended: false,
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
    pub(crate) fn accept(&self, enqueue: impl FnOnce(u64) -> Result<()>) -> Result<u64> {
        let mut state = lock(&self.state);
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let sequence = state.accepted + 1;
        enqueue(sequence)?;
        state.accepted = sequence;
        state.queued += 1;
        Ok(sequence)
    }

    /// Shows a preview at once if nothing is before it, else has it queued; nobody listening, it goes nowhere.
    pub(crate) fn preview(&self, delta: Delta, enqueue: impl FnOnce(u64, Arc<Delta>) -> bool) {
        let mut state = lock(&self.state);
        if state.mailboxes.is_empty() || state.failure.is_some() {
            return;
        }
        let (after, delta) = (state.accepted, Arc::new(delta));
        if state.queued == 0 {
            state.show(|| Item::Delta(after, Arc::clone(&delta)));
        } else if enqueue(after, delta) {
            state.queued += 1;
        }
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
            state.show(|| Item::Event(Arc::clone(event)));
        }
    }

    pub(crate) fn show_preview(&self, after: u64, delta: &Arc<Delta>) {
        let mut state = lock(&self.state);
        state.queued -= 1;
        if state.failure.is_none() {
            state.show(|| Item::Delta(after, Arc::clone(delta)));
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
        // A mailbox that only this list holds has lost its reader.
        self.mailboxes.retain(|mailbox| Arc::strong_count(mailbox) > 1);
        for mailbox in &self.mailboxes {
            mailbox.push(item());
        }
    }

    fn end(&mut self) {
        self.ended = true;
        for mailbox in std::mem::take(&mut self.mailboxes) {
            mailbox.end(self.failure.clone());
        }
    }
}
