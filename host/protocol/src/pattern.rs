//! The seam to patterns: a step function over what happened (`wit/pattern.wit` is the contract that plugin authors read).

use std::sync::Arc;

use futures::future::BoxFuture;
use schemars::JsonSchema;
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
    /// `request`, `answer`, `delegate`, `unsupported`, and what else may come.
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Asks the model.
    Model(ModelAction),
    /// Calls tools.
    Tools(ToolsAction),
    /// Gives a task to another agent.
    Delegate { agent: String, task: String },
    /// Makes a thread shorter.
    Compact { thread: String },
    /// Asks a person.
    Ask(AskAction),
    /// Hands out a result.
    Artifact(Artifact),
    /// Takes back a reply.
    Discard { id: String, reason: String },
    /// News for whoever watches.
    Emit { name: String, json: serde_json::Value },
    /// Ends the run.
    Finish { text: Option<String>, reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelAction {
    /// The conversation that is continued: `main`, or one of the pattern's own.
    pub thread: String,
    /// Messages to append first: role `user` or `system`.
    pub append: Vec<crate::Message>,
    /// In addition to the agent's, for this call; null without any.
    pub instructions: Option<String>,
    /// None offers every tool of the agent.
    pub tools: Option<Vec<String>>,
    /// JSON Schema that the answer must fit; null without one.
    pub schema: Option<serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolsAction {
    /// The conversation that the results go to.
    pub thread: String,
    /// As far as they may, they run beside each other.
    pub calls: Vec<ToolRequest>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ToolRequest {
    /// A call that the model asked for, by its id.
    Asked(String),
    /// A call of the pattern's own.
    Own(OwnCall),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OwnCall {
    /// `<plugin>__<tool>`.
    pub name: String,
    /// JSON that fits the tool's input schema.
    pub input: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AskAction {
    /// For the person who answers.
    pub question: String,
    /// JSON Schema of the answer.
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

impl ModelAction {
    /// A call on a thread, with nothing appended.
    pub fn on_thread(thread: impl Into<String>) -> Self {
        Self {
            thread: thread.into(),
            append: Vec::new(),
            instructions: None,
            tools: None,
            schema: None,
        }
    }
}

/// At most `HEAD_BYTES` of a text, cut back to a whole character.
pub fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(HEAD_BYTES)]
}
