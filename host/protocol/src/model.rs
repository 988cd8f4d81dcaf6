//! The seam to language models.

use std::sync::Arc;

use futures::stream::BoxStream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Message, Result, ToolSpec, Usage};

/// What a model is sent.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The agent's instructions, then those of the pattern for this call.
    pub instructions: String,
    /// The thread that is continued: `main` or one of the pattern's own.
    pub thread: String,
    pub messages: Vec<Arc<Message>>,
    /// The tools that are offered, under the names that the model sees.
    pub tools: Vec<Arc<ToolSpec>>,
    /// JSON Schema that the answer must fit.
    pub schema: Option<serde_json::Value>,
}

/// A model's whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelReply {
    /// What the model said.
    pub message: Message,
    /// `stop`, `tool-calls`, `length`, `content-filter`, or the provider's own word.
    pub finish_reason: String,
    /// What it took.
    #[serde(default)]
    pub usage: Usage,
}

/// One item of a model's stream: previews, then the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelPart {
    /// A request gave nothing, and the next one follows after a while; only before the first of the other parts.
    Retrying {
        /// Which request failed: 1 for the first.
        request: u32,
        error: Error,
        wait_ms: u64,
    },
    /// Text that follows the text so far.
    Text(String),
    /// A call whose name is known; its arguments may follow.
    CallStarted { id: String, name: String },
    /// Arguments that follow the arguments so far of the call.
    CallArguments { id: String, text: String },
    /// The authoritative answer; nothing follows.
    Finished(Box<ModelReply>),
}

/// Ends with `ModelPart::Finished` or an error. Dropping it stops the request.
pub type ModelStream = BoxStream<'static, Result<ModelPart>>;

/// A language model, or the scripted one.
pub trait Model: Send + Sync + std::fmt::Debug {
    /// The name under which the configuration knows it.
    fn name(&self) -> &str;

    fn call(&self, request: ModelRequest) -> ModelStream;
}
