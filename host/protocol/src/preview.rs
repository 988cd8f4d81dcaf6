//! Previews: what a running call writes, shown between the events.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::written;

/// A preview of what a call writes: shown, never journaled, void once the call is finished or discarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delta {
    /// Who writes it.
    #[serde(rename = "type")]
    pub kind: DeltaKind,
    /// The call that writes.
    pub effect: Arc<str>,
    /// Sequence of the `model.started` or `tool.started` of this attempt.
    pub started: u64,
    /// The attempt, as that event has it.
    pub attempt: u32,
    /// Bytes of this attempt's text, in UTF-8, that come before `text`.
    pub offset: u64,
    /// What follows.
    pub text: String,
}

/// Who writes a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeltaKind {
    /// A model: text of its answer.
    #[serde(rename = "model.delta")]
    Model,
    /// A tool: what it says while it works.
    #[serde(rename = "tool.delta")]
    Tool,
}

impl Delta {
    /// JSON Schema 2020-12 of a preview as it is written.
    pub fn schema() -> Value {
        written::<Self>()
    }
}
