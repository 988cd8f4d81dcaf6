//! The seam to patterns: a step function over what happened (`wit/pattern.wit` is the contract that plugin authors read).

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{Artifact, Result, RunId, SessionId};

/// The most of a text that a view shows; `History` gives the rest.
pub const HEAD_BYTES: usize = 2048;

/// What happened since the last step of a pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// A model's answer; `calls` are ids, names and arguments as the model wrote them.
    Reply {
        id: String,
        thread: String,
        text: Arc<str>,
        calls: Vec<crate::ToolCall>,
        finish_reason: String,
    },
    ToolResult {
        id: String,
        name: String,
        failed: bool,
        text: Arc<str>,
    },
    /// `request`, `unsupported`, and what else may come.
    Note { id: String, kind: String, text: Arc<str> },
}

/// What a step sees.
#[derive(Clone)]
pub struct View {
    pub session: SessionId,
    pub run: RunId,
    /// 1 for the first step of a run.
    pub step: u32,
    pub changes: Vec<Change>,
    pub state: Arc<[u8]>,
    /// Names of the agent's tools.
    pub tools: Vec<String>,
    pub steps_left: u32,
    pub tool_calls_left: u32,
    pub ms_left: u64,
    pub history: History,
}

/// Gives the whole text for an id that a view has shown the head of.
pub type History = Arc<dyn Fn(&str) -> Option<Arc<str>> + Send + Sync>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    Model(ModelAction),
    Tools(ToolsAction),
    Delegate { agent: String, task: String },
    Compact { thread: String },
    Ask(AskAction),
    Artifact(Artifact),
    Discard { id: String, reason: String },
    Finish { text: Option<String>, reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelAction {
    pub thread: String,
    /// Messages to append first: role `user` or `system`.
    pub append: Vec<crate::Message>,
    pub instructions: Option<String>,
    /// None offers every tool of the agent.
    pub tools: Option<Vec<String>>,
    pub schema: Option<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolsAction {
    pub thread: String,
    pub calls: Vec<ToolRequest>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolRequest {
    /// A call that the model asked for, by its id.
    Asked(String),
    Own(OwnCall),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnCall {
    pub name: String,
    pub input: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskAction {
    pub question: String,
    pub schema: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Never empty.
    pub actions: Vec<Action>,
    /// None leaves the state as it was.
    pub state: Option<Vec<u8>>,
}

/// The decision logic of one run. Its failure ends the run, not the session.
pub trait Pattern: Send {
    /// Pure: the same view gives the same decision.
    fn step(&mut self, view: View) -> BoxFuture<'_, Result<Decision>>;
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("run", &self.run)
            .field("step", &self.step)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

/// At most `HEAD_BYTES` of a text, cut back to a whole character.
pub fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(HEAD_BYTES)]
}
