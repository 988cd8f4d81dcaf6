//! What a store was given, and what it has acknowledged: kept apart from it, to be held against it after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sandbar_protocol::{Event, EventBody, RunId, SessionId, WorkspaceId};

use crate::beside::Beside;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sessions: BTreeMap<SessionId, Promised>,
    /// How often a session was taken for writing.
    pub(crate) lives: usize,
    /// Those whose making was acknowledged.
    pub(crate) workspaces: BTreeSet<WorkspaceId>,
    pub(crate) beside: Beside,
}

/// One session.
#[derive(Debug, Default)]
pub(crate) struct Promised {
    /// The making of the session was acknowledged.
    pub(crate) made: bool,
    /// What was given to the store, the event 1 first.
    pub(crate) sent: Vec<Sent>,
    /// Up to this event, `flush` has returned or a reader was shown it.
    pub(crate) acknowledged: usize,
    /// What readers were shown, whole.
    pub(crate) shown: BTreeMap<u64, Arc<Event>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) run: RunId,
    pub(crate) body: EventBody,
}

impl Ledger {
    pub(crate) fn promised(&mut self, session: &SessionId) -> &mut Promised {
        self.sessions.entry(session.clone()).or_default()
    }

    /// How many events were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.sessions
            .values()
            .map(|promised| promised.acknowledged as u64)
            .sum()
    }
}

impl Promised {
    /// Everything that was sent so far is committed.
    pub(crate) fn acknowledge(&mut self, head: usize) {
        self.made = true;
        self.acknowledged = self.acknowledged.max(head);
    }

    /// A reader was shown an event; an error says that it is not the one that was sent.
    pub(crate) fn show(&mut self, event: &Arc<Event>) -> Result<(), String> {
        let index = event.sequence as usize;
        let same = |sent: &Sent| sent.run == event.run && sent.body == event.body;
        if !index
            .checked_sub(1)
            .and_then(|index| self.sent.get(index))
            .is_some_and(same)
        {
            return Err(format!(
                "a reader of `{}` was shown an event {index} that was not sent",
                event.session
            ));
        }
        self.acknowledge(index);
        self.shown.insert(event.sequence, Arc::clone(event));
        Ok(())
    }

    /// The session was opened anew and ends with the event `head`: what was sent after it is gone, which is right unless it was
    /// acknowledged. Returns how many acknowledged events are gone.
    pub(crate) fn reopened_at(&mut self, head: usize) -> usize {
        let lost = self.acknowledged.saturating_sub(head);
        self.sent.truncate(head);
        self.shown.retain(|sequence, _| *sequence as usize <= head);
        self.acknowledged = head.min(self.sent.len());
        lost
    }
}
