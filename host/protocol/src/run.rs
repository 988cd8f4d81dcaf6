//! A run: what is asked, what it may spend, and how it ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::Origin;
use crate::{Error, RunId, SessionId};

/// One request to an agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRequest {
    pub message: String,
    /// None takes the default agent.
    pub agent: Option<String>,
    /// None starts a session.
    pub session: Option<SessionId>,
    /// Tightens the agent's limits; it can't loosen them.
    pub limits: Option<Limits>,
    /// Who wants the run. What the configuration says about calls of an origin holds for all calls in it; by default they are the
    /// model's.
    pub origin: Origin,
}

impl RunRequest {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }
}

/// What a run may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Decisions of the pattern.
    pub steps: u32,
    /// Calls of tools and delegations, with those of delegated runs.
    pub tool_calls: u32,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 50,
            tool_calls: 200,
            wall_ms: 600_000,
        }
    }
}

impl Limits {
    /// The tighter of both, field by field.
    #[must_use]
    pub fn tightened_by(self, other: Self) -> Self {
        Self {
            steps: self.steps.min(other.steps),
            tool_calls: self.tool_calls.min(other.tool_calls),
            wall_ms: self.wall_ms.min(other.wall_ms),
        }
    }
}

/// Tokens, as the provider counts them; what it doesn't say stays unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Tokens that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens that were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Part of the input that came from the provider's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Part of the output that was thought and not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

impl Usage {
    pub fn add(&mut self, other: Self) {
        let sum = |a: &mut Option<u64>, b: Option<u64>| {
            if let Some(b) = b {
                *a = Some(a.unwrap_or(0) + b);
            }
        };
        sum(&mut self.input_tokens, other.input_tokens);
        sum(&mut self.output_tokens, other.output_tokens);
        sum(&mut self.cached_tokens, other.cached_tokens);
        sum(&mut self.reasoning_tokens, other.reasoning_tokens);
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The pattern said so.
    Finished,
    /// It has used up its steps.
    MaxSteps,
    /// It has used up its calls of tools.
    MaxToolCalls,
    /// The run's wall time is over.
    Timeout,
    /// Somebody stopped it.
    Cancelled,
    /// A model call gave no answer.
    ModelFailed,
    /// The pattern failed, or decided something impossible.
    PatternFailed,
    /// A question that it waited for was not answered in time.
    Expired,
    /// It waits for an answer: not the end, and never in a `run.finished`.
    Suspended,
    /// The journal could not be written, or another failure of the host.
    HostFailed,
}

/// How a run ended. `text` is kept whatever the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    pub session: SessionId,
    pub run: RunId,
    pub stop_reason: StopReason,
    /// The pattern's own word for why it finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The answer, or what there was of one.
    pub text: String,
    /// Why it did not finish; absent if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
    /// Decisions of the pattern.
    pub steps: u32,
    /// Calls of tools and delegations that were made, with those of delegated runs; refused ones don't count.
    pub tool_calls: u32,
    /// Those that gave an answer, with those of delegated runs.
    pub model_calls: u32,
    /// Of all these model calls.
    pub usage: Usage,
    /// Milliseconds that it took, without waiting for people.
    pub wall_ms: u64,
}
