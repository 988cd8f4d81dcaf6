//! What waits for one reader. Empty it takes no room; a reader that is too slow loses it and reads the journal instead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use sandbar_protocol::{Error, Event};
use tokio::sync::Notify;

use crate::lock;
use crate::previews::Call;

/// How many items wait for a reader before it has to catch up from the journal.
pub(crate) const MAX_WAITING: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Item>,
    /// Items were lost: what comes is ignored until the reader goes back to the journal.
    lagged: bool,
    end: Option<Option<Error>>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Event(Arc<Event>),
    /// A call that the next event ends, with what it has written.
    Ended(Arc<Call>),
}

#[derive(Debug)]
pub(crate) enum Received {
    Item(Item),
    /// Events were committed that aren't here: read them from the journal.
    Lagged,
    /// Nothing follows, for this reason if it isn't a good one.
    End(Option<Error>),
}

impl Mailbox {
    pub(crate) fn push(&self, item: Item) {
        let mut state = lock(&self.state);
        if state.lagged {
            return;
        }
        if state.waiting.len() < MAX_WAITING {
            state.waiting.push_back(item);
        } else {
            state.waiting = VecDeque::new();
            state.lagged = true;
        }
        drop(state);
        self.ready.notify_one();
    }

    pub(crate) fn end(&self, error: Option<Error>) {
        lock(&self.state).end.get_or_insert(error);
        self.ready.notify_one();
    }

    /// There is something to read elsewhere: a running call has written.
    pub(crate) fn wake(&self) {
        self.ready.notify_one();
    }

    /// Waits until something may have come since the last call. Loses nothing when it is dropped while it waits.
    pub(crate) async fn changed(&self) {
        self.ready.notified().await;
    }

    pub(crate) fn take(&self) -> Option<Received> {
        let mut state = lock(&self.state);
        if state.lagged {
            // Whatever is published from here on is kept again; what was lost is committed already.
            state.lagged = false;
            return Some(Received::Lagged);
        }
        match state.waiting.pop_front() {
            Some(item) => {
                if state.waiting.is_empty() {
                    state.waiting.shrink_to(8);
                }
                Some(Received::Item(item))
            }
            None => state.end.clone().map(Received::End),
        }
    }
}
