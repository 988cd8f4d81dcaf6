//! Cancelling a run from outside.

use std::sync::Arc;

use tokio::sync::watch;

/// A switch that is thrown once; clones share it.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// One that is thrown already.
    pub fn thrown() -> Self {
        let cancel = Self::default();
        cancel.cancel();
        cancel
    }

    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    pub fn is_thrown(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) async fn cancelled(&self) {
        // The sender lives as long as `self`, so waiting ends only with the switch.
        let _ = self.0.subscribe().wait_for(|thrown| *thrown).await;
    }
}
