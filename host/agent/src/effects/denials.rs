//! What plugins are refused while their calls go on: kept until the call's outcome is recorded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandbar_protocol::{Denial, DenialSink};

/// By effect.
#[derive(Default)]
pub(crate) struct Denials(Arc<Mutex<HashMap<String, Vec<Denial>>>>);

impl Denials {
    pub(crate) fn sink(&self, effect: &str) -> DenialSink {
        let (denials, effect) = (Arc::downgrade(&self.0), effect.to_owned());
        Arc::new(move |denial| {
            // A guest that is being torn down may outlive the run, and then nobody is left to tell.
            if let Some(denials) = denials.upgrade() {
                let mut denials = denials.lock().unwrap_or_else(PoisonError::into_inner);
                denials.entry(effect.clone()).or_default().push(denial);
            }
        })
    }

    pub(crate) fn take(&self, effect: &str) -> Vec<Denial> {
        let mut denials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        denials.remove(effect).unwrap_or_default()
    }
}
