//! What a model reads and writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// Whoever talks with the agent.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// A tool call as the model wrote it. `arguments` may be anything: the host parses it before the tool sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// Unique in a run.
    pub id: String,
    /// `<plugin>__<tool>`, if there is such a tool.
    pub name: String,
    /// As the model wrote them: perhaps no JSON.
    pub arguments: String,
}

/// One message of a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said; absent where it is nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Calls that an assistant message asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// The call that a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Whether a tool message reports a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// The provider's own items, verbatim, beside our projection: thinking blocks and unknown blocks must come back as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provider_items: Vec<serde_json::Value>,
}

impl Message {
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            text: text.into(),
            calls: Vec::new(),
            call_id: None,
            failed: false,
            provider_items: Vec::new(),
        }
    }

    pub fn tool_result(call_id: impl Into<String>, text: impl Into<String>, failed: bool) -> Self {
        Self {
            call_id: Some(call_id.into()),
            failed,
            ..Self::new(Role::Tool, text)
        }
    }
}
