//! A gate before the lock that a writer of the database takes: while it is shut, what is asked for next gathers behind it.
//!
//! With it, one group of commands always becomes one transaction, however the threads run, and so a seed always does the same writes.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Longer than any machine needs: if nobody comes until then, the store hangs.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum State {
    #[default]
    Open,
    Shut,
    /// Shut, and a writer stands before it, or won't come.
    Met,
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.set(State::Shut);
    }

    pub(crate) fn open(&self) {
        self.set(State::Open);
    }

    /// Says that nobody will come: what was to be written has failed before it came here.
    pub(crate) fn give_up(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Shut {
            *state = State::Met;
        }
        self.changed.notify_all();
    }

    /// Called by the writer; returns when the gate is open.
    pub(super) fn pass(&self) {
        self.give_up();
        self.wait(|state| state != State::Open);
    }

    /// Waits until a writer stands before the shut gate; false if none comes.
    pub(crate) fn wait_for_writer(&self) -> bool {
        self.wait(|state| state == State::Shut)
    }

    fn set(&self, new: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = new;
        self.changed.notify_all();
    }

    fn wait(&self, blocked: impl Fn(State) -> bool) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, timeout) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| blocked(*state))
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !timeout.timed_out()
    }
}
