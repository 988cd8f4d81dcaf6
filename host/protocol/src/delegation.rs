//! Delegation: an agent gives a task to another one, which works on it in a session and a run of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, RunId, SessionId};

/// How many runs may stand above one another: an agent that is asked by a person stands at 0, and nobody delegates from the last.
pub const MAX_DELEGATION_DEPTH: u32 = 4;

/// The run that works on a delegated task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChildRun {
    /// Its session: the task is the first message in it.
    pub session: SessionId,
    /// Its run.
    pub run: RunId,
}

/// The run that gave a task to another agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParentRun {
    /// Its session.
    pub session: SessionId,
    /// Its run.
    pub run: RunId,
    /// The delegation, as that run's events name it.
    pub effect: String,
    /// How many runs stand above the delegated one: 1 where a person has asked the parent.
    pub depth: u32,
}

/// How a delegation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DelegateOutcome {
    /// The other agent's answer; absent if there is none.
    Text(String),
    /// Why there is no answer; absent if there is one.
    Error(Error),
}
