//! Places for instances: as many as the pooling allocator has, handed out fairly between sessions.
//!
//! A session with a thousand calls waits in its own queue; the queues are served in turn, so that another session's first call is
//! next but one at worst.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

#[derive(Debug)]
pub(crate) struct Slots {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Sessions that wait, in the order in which they are served.
    turn: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, VecDeque<oneshot::Sender<Slot>>>,
}

/// A place; dropping it hands it to whoever is next.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Option<Arc<Slots>>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: count,
                turn: VecDeque::new(),
                waiting: HashMap::new(),
            }),
        })
    }

    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.free == 0 {
            return None;
        }
        state.free -= 1;
        Some(Slot {
            slots: Some(self.clone()),
        })
    }

    /// Waits for a place; cancel-safe.
    pub(crate) async fn take(self: &Arc<Self>, session: &Arc<str>) -> Slot {
        loop {
            let place = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.free > 0 {
                    state.free -= 1;
                    return Slot {
                        slots: Some(self.clone()),
                    };
                }
                let (sender, place) = oneshot::channel();
                if !state.waiting.contains_key(session) {
                    state.turn.push_back(session.clone());
                }
                state.waiting.entry(session.clone()).or_default().push_back(sender);
                place
            };
            // The sender is only dropped with the whole queue, which `self` keeps alive; asking again is right all the same.
            if let Ok(slot) = place.await {
                return slot;
            }
        }
    }

    fn give_back(self: &Arc<Self>) {
        loop {
            let sender = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                match state.next() {
                    Some(sender) => sender,
                    None => {
                        state.free += 1;
                        return;
                    }
                }
            };
            match sender.send(Slot {
                slots: Some(self.clone()),
            }) {
                Ok(()) => return,
                // Whoever waited has gone. Its slot must not come back through its own drop, which would recurse.
                Err(mut slot) => slot.slots = None,
            }
        }
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Slot>> {
        let session = self.turn.pop_front()?;
        let queue = self.waiting.get_mut(&session)?;
        let sender = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&session);
        } else {
            self.turn.push_back(session);
        }
        sender
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            slots.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn sessions_take_turns_and_the_gone_are_passed_over() {
        let slots = Slots::new(1);
        let (greedy, modest): (Arc<str>, Arc<str>) = ("greedy".into(), "modest".into());
        let held = slots.try_take().unwrap();
        let mut first = Box::pin(slots.take(&greedy));
        let mut second = Box::pin(slots.take(&greedy));
        let mut third = Box::pin(slots.take(&modest));
        for waiting in [&mut first, &mut second, &mut third] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop(first);
        drop(held);
        let held = third
            .as_mut()
            .now_or_never()
            .expect("the modest session is before the greedy one's second call");
        assert!(second.as_mut().now_or_never().is_none());
        drop(held);
        drop(second.as_mut().now_or_never().expect("then the greedy one"));
        assert!(slots.try_take().is_some());
    }
}
