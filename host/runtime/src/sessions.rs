//! Sessions that this process has in hand: what they amount to is kept between runs, so that a turn's cost doesn't grow with history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbar_agent::Conversation;
use sandbar_plugins::Sandbox;
use sandbar_protocol::{Error, ErrorKind, Result, SessionId};
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
pub(crate) struct Sessions(Mutex<Shelf<Kept>>);

/// What is put on a full one displaces what has lain there longest.
#[derive(Debug)]
struct Shelf<T> {
    /// With the number of the time that each was put there.
    kept: HashMap<SessionId, (u64, T)>,
    times: u64,
}

impl Sessions {
    /// What is known of a session, if it is what the journal holds: another process may have gone on with it.
    pub(crate) fn take(&self, session: &SessionId, head: u64) -> Option<Kept> {
        let kept = self.shelf().take(session)?;
        (kept.conversation.sequence() == head).then_some(kept)
    }

    pub(crate) fn put(&self, session: SessionId, state: Kept) {
        self.shelf().put(session, state);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Shelf<T> {
    fn take(&mut self, session: &SessionId) -> Option<T> {
        self.kept.remove(session).map(|(_, kept)| kept)
    }

    fn put(&mut self, session: SessionId, state: T) {
        if self.kept.len() >= MAX_KEPT
            && let Some((longest, _)) = self.kept.iter().min_by_key(|(_, (time, _))| *time)
        {
            let longest = longest.clone();
            self.kept.remove(&longest);
        }
        self.times += 1;
        self.kept.insert(session, (self.times, state));
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            kept: HashMap::new(),
            times: 0,
        }
    }
}

/// Events that are read in less time than it takes to have another thread do it, and to be woken by that.
const READ_AT_ONCE: u64 = 64;

/// A conversation from the journal, with its head. Ten thousand events take 30 ms, for which no thread of the caller's is held.
pub(crate) async fn read(store: &Store, session: &SessionId, head: u64) -> Result<Conversation> {
    if head <= READ_AT_ONCE {
        return read_events(store, session);
    }
    let (store, session) = (store.clone(), session.clone());
    let read = tokio::task::spawn_blocking(move || read_events(&store, &session));
    read.await.map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            "read-failed",
            format!("a session's events were not read to the end: {error}"),
        )
    })?
}

fn read_events(store: &Store, session: &SessionId) -> Result<Conversation> {
    let mut conversation = Conversation::default();
    store.each_event(session, 0, |event| conversation.apply(event))?;
    Ok(conversation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_lain_there_longest_goes() {
        let session = |number: usize| SessionId::parse(&format!("s-{number}")).unwrap();
        let mut shelf = Shelf::default();
        (0..MAX_KEPT).for_each(|number| shelf.put(session(number), number));
        // Taken and put back: it is the newest now.
        assert_eq!(shelf.take(&session(0)), Some(0));
        shelf.put(session(0), 0);
        shelf.put(session(MAX_KEPT), MAX_KEPT);
        assert_eq!(shelf.kept.len(), MAX_KEPT);
        assert_eq!(
            [0, 1, 2, MAX_KEPT].map(|number| shelf.take(&session(number))),
            [Some(0), None, Some(2), Some(MAX_KEPT)]
        );
    }
}
