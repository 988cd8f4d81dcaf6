//! Sessions that this process has in hand: what they amount to is kept between runs, so that a turn's cost doesn't grow with history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandbar_agent::Conversation;
use sandbar_plugins::Sandbox;
use sandbar_protocol::{Result, SessionId};
use sandbar_store::Store;

/// Sessions kept at once; the journal gives back any other.
const MAX_KEPT: usize = 256;

/// A session between two runs. A cache: dropping it loses nothing.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) conversation: Conversation,
    pub(crate) sandbox: Arc<Sandbox>,
}

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    kept: Mutex<HashMap<SessionId, Kept>>,
}

impl Sessions {
    /// What is known of a session, if it is what the journal holds: another process may have gone on with it.
    pub(crate) fn take(&self, session: &SessionId, head: u64) -> Option<Kept> {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(session)?;
        (kept.conversation.sequence() == head).then_some(kept)
    }

    pub(crate) fn put(&self, session: SessionId, state: Kept) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT
            && let Some(other) = kept.keys().next().cloned()
        {
            kept.remove(&other);
        }
        kept.insert(session, state);
    }
}

/// A conversation from the journal.
pub(crate) fn read(store: &Store, session: &SessionId) -> Result<Conversation> {
    let mut conversation = Conversation::default();
    store.each_event(session, 0, |event| conversation.apply(event))?;
    Ok(conversation)
}
