//! What a run began with: what the agent's name stood for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Limits;
use crate::policy::Origin;

/// What the name of an agent stood for when a run began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RunSetup {
    /// Name of the model in the configuration.
    pub model: String,
    /// Name of the pattern.
    pub pattern: String,
    /// SHA-256 of the pattern's component, hexadecimal: replay and recovery need the same one.
    pub pattern_digest: String,
    /// What the model is told before the conversation.
    pub instructions: String,
    /// Names of the tools, in the order in which the model sees them.
    pub tools: Vec<String>,
    /// Name of the memory's plugin; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// What the run may spend.
    pub limits: Limits,
    /// Who wanted the run; absent where it is no other than a model with a person's message.
    #[serde(skip_serializing_if = "is_default_origin")]
    pub origin: Origin,
}

impl RunSetup {
    /// A journal of before it was recorded.
    pub(crate) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

fn is_default_origin(origin: &Origin) -> bool {
    *origin == Origin::default()
}
