//! What a running call was refused, for the person who decides about grants.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::Refusal;

/// Something that a plugin wanted to do in a call and may not. The plugin is told `denied` and no more, and the model what the plugin
/// makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Denial {
    /// One sentence: which plugin may not do what.
    pub reason: String,
    /// The lines of the configuration that would allow it; absent where nothing would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// Where they go while the call runs; each is told once.
pub type DenialSink = Arc<dyn Fn(Denial) + Send + Sync>;

impl From<&Refusal> for Denial {
    fn from(refusal: &Refusal) -> Self {
        Self {
            reason: refusal.sentence.clone(),
            mend: refusal.mend.clone(),
        }
    }
}
