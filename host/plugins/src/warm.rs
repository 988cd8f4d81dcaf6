//! Warm instances: a cache of stores between calls, bounded, any of which may be dropped between two calls.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::guest::Guest;
use crate::plugin::Plugin;

/// Whose instance: a session's (lifetime `session`) or a run's (a pattern), of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WarmKey {
    pub(crate) owner: String,
    digest: String,
    /// Instances of different powers are never mixed.
    plugin: String,
}

impl WarmKey {
    pub(crate) fn of(owner: &str, plugin: &Plugin) -> Self {
        Self {
            owner: owner.to_owned(),
            digest: plugin.digest.clone(),
            plugin: plugin.name.to_string(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Warm {
    capacity: usize,
    /// Oldest first.
    guests: Mutex<VecDeque<(WarmKey, Guest)>>,
}

impl Warm {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            guests: Mutex::default(),
        }
    }

    /// Takes the instance out: while it runs, it isn't in the cache.
    pub(crate) fn take(&self, key: &WarmKey) -> Option<Guest> {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        // What was put last is taken next: a run asks for its pattern once a step.
        let index = guests.iter().rposition(|(other, _)| other == key)?;
        guests.remove(index).map(|(_, guest)| guest)
    }

    pub(crate) fn put(&self, key: WarmKey, guest: Guest) {
        let dropped = {
            let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
            guests.push_back((key, guest));
            if guests.len() > self.capacity {
                guests.pop_front()
            } else {
                None
            }
        };
        // Outside the lock: freeing an instance takes a while.
        drop(dropped);
    }

    pub(crate) fn drop_oldest(&self) {
        let oldest = self.guests.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        drop(oldest);
    }

    /// The same of one plugin.
    pub(crate) fn drop_oldest_of(&self, plugin: &str) {
        let dropped = {
            let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
            let index = guests.iter().position(|(key, _)| key.plugin == plugin);
            index.and_then(|index| guests.remove(index))
        };
        drop(dropped);
    }

    /// The owner has ended.
    pub(crate) fn drop_owner(&self, owner: &str) {
        let dropped: VecDeque<_> = {
            let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
            // Most owners leave none behind, and the instances of the others needn't move for them.
            if guests.iter().all(|(key, _)| key.owner != owner) {
                return;
            }
            let (gone, kept) = std::mem::take(&mut *guests)
                .into_iter()
                .partition(|(key, _)| key.owner == owner);
            *guests = kept;
            gone
        };
        drop(dropped);
    }
}
