//! Places for instances: as many as the pooling allocator has, handed out fairly between sessions, and never all of them to one plugin.
//!
//! A session with a thousand calls waits in its own queue; the queues are served in turn, so that another session's first call is
//! next but one at worst. A plugin that has its share of the places waits for one of its own to come free: its calls are parked, and stand
//! in nobody's way. No call of a plugin waits for another one while it has a place, so that whoever has one gives it back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::limits::PLUGIN_SHARE;

#[derive(Debug)]
pub(crate) struct Slots {
    /// Places that one plugin may have.
    share: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    /// Places that each plugin has.
    held: HashMap<Arc<str>, usize>,
    /// Calls that would take the next place; none where a place is free.
    ready: Line,
    /// Calls of plugins that have their share.
    parked: HashMap<Arc<str>, Line>,
}

/// Calls that wait, each in the queue of its session.
#[derive(Debug, Default)]
struct Line {
    /// Sessions that wait, in the order in which they are served.
    turn: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, VecDeque<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    plugin: Arc<str>,
    session: Arc<str>,
    place: oneshot::Sender<Slot>,
}

/// A place; dropping it hands it to whoever is next.
#[derive(Debug)]
pub(crate) struct Slot {
    plugin: Arc<str>,
    slots: Option<Arc<Slots>>,
}

/// Why there is no place now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    All,
    /// The plugin has its share.
    Share,
}

/// A call in its queue. Dropping it leaves the queue, and gives back a place that has just come.
#[derive(Debug)]
pub(crate) struct Queued(oneshot::Receiver<Slot>);

impl Slots {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let (parts, of) = PLUGIN_SHARE;
        Arc::new(Self {
            share: (count * parts / of).max(1),
            state: Mutex::new(State {
                free: count,
                ..State::default()
            }),
        })
    }

    /// A place, or one in the line for it.
    pub(crate) fn take(self: &Arc<Self>, session: &Arc<str>, plugin: &Arc<str>) -> Result<Slot, (Full, Queued)> {
        let mut state = self.lock();
        let Err(full) = state.take(plugin, self.share) else {
            return Ok(self.slot(plugin.clone()));
        };
        let (place, queued) = oneshot::channel();
        state.line(full, plugin).push(Waiter {
            plugin: plugin.clone(),
            session: session.clone(),
            place,
        });
        Err((full, Queued(queued)))
    }

    /// Whether somebody waits to whom a place of this plugin would go.
    pub(crate) fn wants_one_of(&self, plugin: &Arc<str>) -> bool {
        let state = self.lock();
        !state.ready.turn.is_empty() || state.parked.contains_key(plugin)
    }

    fn give_back(self: &Arc<Self>, mut plugin: Arc<str>) {
        loop {
            let next = self.lock().give_back(&plugin, self.share);
            let Some(waiter) = next else { return };
            let slot = self.slot(waiter.plugin);
            let Err(mut slot) = waiter.place.send(slot) else {
                return;
            };
            // Whoever waited has gone. Its slot must not come back through its own drop, which would recurse.
            slot.slots = None;
            plugin = slot.plugin.clone();
        }
    }

    fn slot(self: &Arc<Self>, plugin: Arc<str>) -> Slot {
        Slot {
            plugin,
            slots: Some(self.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queued {
    pub(crate) async fn place(self) -> Slot {
        self.0
            .await
            .expect("what hands out places outlives whoever waits, with their queues")
    }
}

impl State {
    fn take(&mut self, plugin: &Arc<str>, share: usize) -> Result<(), Full> {
        if self.held(plugin) >= share {
            return Err(Full::Share);
        }
        if self.free == 0 {
            return Err(Full::All);
        }
        self.free -= 1;
        *self.held.entry(plugin.clone()).or_default() += 1;
        Ok(())
    }

    fn line(&mut self, full: Full, plugin: &Arc<str>) -> &mut Line {
        match full {
            Full::All => &mut self.ready,
            Full::Share => self.parked.entry(plugin.clone()).or_default(),
        }
    }

    /// Takes back a place of a plugin, and says whose it is now.
    fn give_back(&mut self, plugin: &Arc<str>, share: usize) -> Option<Waiter> {
        self.free += 1;
        if let Some(held) = self.held.get_mut(plugin) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(plugin);
            }
        }
        self.unpark(plugin);
        while let Some(waiter) = self.ready.next() {
            let plugin = waiter.plugin.clone();
            if waiter.place.is_closed() {
                self.unpark(&plugin);
            } else if self.take(&plugin, share).is_ok() {
                return Some(waiter);
            } else {
                // Its plugin has got its share while it waited for a place.
                self.line(Full::Share, &plugin).push_first(waiter);
            }
        }
        None
    }

    /// There is room for one more of a plugin: its next call waits for a place like everybody.
    ///
    /// As many of its calls are ready as it could have places more, at least, so that none stays parked that could have one.
    fn unpark(&mut self, plugin: &Arc<str>) {
        let Some(parked) = self.parked.get_mut(plugin) else {
            return;
        };
        let next = std::iter::from_fn(|| parked.next()).find(|waiter| !waiter.place.is_closed());
        if parked.turn.is_empty() {
            self.parked.remove(plugin);
        }
        if let Some(waiter) = next {
            self.ready.push(waiter);
        }
    }

    fn held(&self, plugin: &Arc<str>) -> usize {
        self.held.get(plugin).copied().unwrap_or(0)
    }
}

impl Line {
    fn push(&mut self, waiter: Waiter) {
        self.queue(&waiter.session).push_back(waiter);
    }

    fn push_first(&mut self, waiter: Waiter) {
        self.queue(&waiter.session).push_front(waiter);
    }

    fn queue(&mut self, session: &Arc<str>) -> &mut VecDeque<Waiter> {
        if !self.waiting.contains_key(session) {
            self.turn.push_back(session.clone());
        }
        self.waiting.entry(session.clone()).or_default()
    }

    fn next(&mut self) -> Option<Waiter> {
        let session = self.turn.pop_front()?;
        let queue = self.waiting.get_mut(&session)?;
        let waiter = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&session);
        } else {
            self.turn.push_back(session);
        }
        waiter
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            slots.give_back(self.plugin.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn taken(slots: &Arc<Slots>, plugin: &str) -> Slot {
        slots.take(&"any".into(), &plugin.into()).unwrap()
    }

    fn queued(slots: &Arc<Slots>, session: &str, plugin: &str) -> Queued {
        slots.take(&session.into(), &plugin.into()).unwrap_err().1
    }

    fn why(slots: &Arc<Slots>, plugin: &str) -> Full {
        slots.take(&"any".into(), &plugin.into()).unwrap_err().0
    }

    /// The place that has come for a call, if one has.
    fn come(queued: &mut Queued) -> Option<Slot> {
        (&mut queued.0).now_or_never().map(Result::unwrap)
    }

    /// Nobody has a place, and nobody waits.
    fn assert_empty(slots: &Slots, count: usize) {
        let state = slots.lock();
        assert_eq!(state.free, count, "{state:?}");
        assert!(
            state.held.is_empty() && state.parked.is_empty() && state.ready.waiting.is_empty(),
            "{state:?}"
        );
    }

    #[test]
    fn sessions_take_turns_and_the_gone_are_passed_over() {
        let slots = Slots::new(1);
        let held = taken(&slots, "a");
        let first = queued(&slots, "greedy", "b");
        let mut second = queued(&slots, "greedy", "b");
        let mut third = queued(&slots, "modest", "b");
        assert!(come(&mut second).is_none() && come(&mut third).is_none());
        drop(first);
        drop(held);
        let held = come(&mut third).expect("the modest session is before the greedy one's second call");
        assert!(come(&mut second).is_none());
        drop(held);
        drop(come(&mut second).expect("then the greedy one"));
        assert_empty(&slots, 1);
    }

    /// Of so many places one plugin gets so many, and another the rest.
    fn check_share(count: usize, share: usize) {
        let slots = Slots::new(count);
        let mut held: Vec<Slot> = (0..share).map(|_| taken(&slots, "greedy")).collect();
        assert_eq!(why(&slots, "greedy"), Full::Share, "{count}");
        for _ in share..count {
            held.push(taken(&slots, "modest"));
        }
        assert_eq!(why(&slots, "other"), Full::All, "{count}");
        drop(held);
        assert_empty(&slots, count);
    }

    #[test]
    fn a_plugin_has_its_share() {
        for (count, share) in [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (256, 192)] {
            check_share(count, share);
        }
    }

    #[test]
    fn the_parked_stand_in_nobodys_way_and_are_served_in_turn() {
        let slots = Slots::new(4);
        let mut greedy: Vec<Slot> = (0..3).map(|_| taken(&slots, "greedy")).collect();
        let mut parked: Vec<Queued> = (0..100).map(|_| queued(&slots, "one", "greedy")).collect();
        let mut late = queued(&slots, "other", "greedy");
        let modest = taken(&slots, "modest");
        let mut waits = queued(&slots, "third", "modest");
        assert!(come(&mut waits).is_none());
        drop(modest);
        let modest = come(&mut waits).expect("a place that its plugin may not have is no parked call's");
        // One of its own comes free, again and again: sessions take turns, and those that have gone are passed over.
        drop(parked.remove(0));
        greedy.pop();
        greedy.push(come(&mut late).expect("the other session is next, since it was the turn of a call that has gone"));
        greedy.pop();
        greedy.push(come(&mut parked[0]).expect("the first that still waits"));
        assert!(parked[1..].iter_mut().all(|queued| come(queued).is_none()));
        assert!(slots.wants_one_of(&"greedy".into()) && !slots.wants_one_of(&"modest".into()));
        drop((greedy, modest));
        // The first three that wait have places now.
        let places: Vec<Slot> = parked[1..].iter_mut().filter_map(come).collect();
        assert_eq!(places.len(), 3);
        drop((places, parked));
        assert_empty(&slots, 4);
    }

    /// A place comes, and whoever waited for it goes without having looked.
    #[test]
    fn a_place_that_comes_too_late_is_given_back() {
        let slots = Slots::new(1);
        let held = taken(&slots, "a");
        let (first, mut second) = (queued(&slots, "one", "b"), queued(&slots, "other", "c"));
        drop(held);
        assert!(come(&mut second).is_none());
        drop(first);
        drop(come(&mut second).expect("it was given on"));
        assert_empty(&slots, 1);
    }

    /// A plugin that gets its share while others of its calls wait for any place: they are parked then, and nobody behind them waits for them.
    #[test]
    fn who_is_over_its_share_in_the_line_lets_others_by() {
        let slots = Slots::new(4);
        let others: Vec<Slot> = (0..2).map(|_| taken(&slots, "other")).collect();
        let mut held: Vec<Slot> = (0..2).map(|_| taken(&slots, "greedy")).collect();
        let mut calls: Vec<Queued> = ["a", "b", "c"].map(|session| queued(&slots, session, "greedy")).into();
        let mut modest = queued(&slots, "d", "modest");
        drop(others);
        held.push(come(&mut calls[0]).expect("its third place"));
        let place = come(&mut modest).expect("it is before calls that may not have the fourth place");
        held.pop();
        assert!(come(&mut calls[1]).is_some() && come(&mut calls[2]).is_some());
        drop((place, held, modest, calls));
        assert_empty(&slots, 4);
    }
}
