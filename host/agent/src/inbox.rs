//! What comes from elsewhere for runs of this process: answers and cancellations that another process, or another part of this one,
//! left in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandbar_protocol::{RunId, SuspensionId};
use tokio::sync::{Notify, oneshot};

use crate::cancel::Cancel;

/// How long an answer may lie before it is seen.
pub const POLL: Duration = Duration::from_millis(200);

/// Who waits for what. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Inbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when the first one begins to wait.
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    questions: HashMap<SuspensionId, oneshot::Sender<()>>,
    runs: HashMap<RunId, Cancel>,
}

/// A run that can be cancelled from elsewhere, until this is dropped.
#[derive(Debug)]
pub(crate) struct Reachable {
    inbox: Inbox,
    run: RunId,
}

impl Drop for Reachable {
    fn drop(&mut self) {
        self.inbox.state().runs.remove(&self.run);
    }
}

impl Inbox {
    pub(crate) fn reach(&self, run: &RunId, cancel: &Cancel) -> Reachable {
        self.state().runs.insert(run.clone(), cancel.clone());
        self.0.wanted.notify_one();
        Reachable {
            inbox: self.clone(),
            run: run.clone(),
        }
    }

    /// Resolves when the store has an answer.
    pub(crate) async fn answered(&self, question: &SuspensionId) {
        let (sender, receiver) = oneshot::channel();
        self.state().questions.insert(question.clone(), sender);
        self.0.wanted.notify_one();
        // The sender goes only when it is used, or replaced by one who waits for the same.
        let _ = receiver.await;
    }

    /// Resolves when somebody waits for something: until then nobody needs to look.
    pub async fn wanted(&self) {
        while self.is_empty() {
            self.0.wanted.notified().await;
        }
    }

    /// Hands out what the store has.
    pub fn deliver(&self, found: &sandbar_store::Inbox) {
        let mut state = self.state();
        for run in &found.cancelled {
            if let Some(cancel) = state.runs.get(run) {
                cancel.cancel();
            }
        }
        for question in &found.answered {
            if let Some(waiting) = state.questions.remove(question) {
                // Who has gone away in the meantime reads the answer from the store.
                let _ = waiting.send(());
            }
        }
        // Of questions that were taken back the receivers are gone.
        state.questions.retain(|_, waiting| !waiting.is_closed());
    }

    fn is_empty(&self) -> bool {
        let state = self.state();
        state.questions.is_empty() && state.runs.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
