//! The seam to tools.

use std::sync::Arc;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::denial::DenialSink;
use crate::tool_powers::ToolPowers;
use crate::{Result, RunId, Schema, SessionId};

/// What a tool says of itself, after the host's floor has been applied (a declaration can only tighten).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolTraits {
    /// Changes nothing: may run beside others.
    pub read_only: bool,
    pub destructive: bool,
    /// Twice is the same as once: no intent is awaited, and recovery may repeat it.
    pub idempotent: bool,
    /// Never beside another call in the same workspace.
    pub exclusive: bool,
    /// Resource key as a template over the input, such as `file:{/path}`.
    pub resource: Option<String>,
    pub timeout_ms: Option<u64>,
    /// Has access to files: derived from its grants, never declared.
    pub touches_workspace: bool,
    /// Can say what it would change.
    pub previews: bool,
    /// Wants a person's word before each call.
    pub approval: bool,
}

impl ToolTraits {
    /// What a tool says of itself, for people; empty if nothing. The template is last, so that no two read the same.
    pub fn words(&self) -> String {
        let words = [
            (self.read_only, "read-only"),
            (self.destructive, "destructive"),
            (self.idempotent, "idempotent"),
            (self.exclusive, "exclusive"),
            (self.previews, "previews"),
            (self.approval, "approval"),
        ];
        let words = words.into_iter().filter(|(holds, _)| *holds);
        let timeout = self.timeout_ms.map(|timeout| format!("at most {timeout} ms"));
        let resource = self.resource.as_ref().map(|resource| format!("resource {resource}"));
        let words = words.map(|(_, word)| word.to_owned()).chain(timeout).chain(resource);
        words.collect::<Vec<_>>().join(", ")
    }
}

/// A tool as the model and the agent loop see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// `<plugin>__<tool>`: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub name: String,
    pub description: String,
    /// JSON Schema 2020-12.
    pub input_schema: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    pub traits: ToolTraits,
}

/// What a plugin may do with the files of a workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileAccess {
    /// It sees none.
    #[default]
    None,
    /// It reads them.
    ReadOnly,
    /// It reads and changes them.
    ReadWrite,
}

/// One call of a tool. The input has been checked against the tool's schema.
#[derive(Clone)]
pub struct ToolInvocation {
    pub session: SessionId,
    pub run: RunId,
    pub call_id: String,
    pub input: Arc<Value>,
    pub progress: ProgressSink,
    pub denials: DenialSink,
}

/// Where a running call's partial output goes.
pub type ProgressSink = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolOutput {
    /// For the model.
    pub text: String,
    /// The same for programs; absent where the tool gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured: Option<Value>,
    /// For the person who watches, if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_text: Option<String>,
    /// Results that are kept beside the conversation; absent without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

/// A result that is kept beside the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// A name for a file.
    pub name: String,
    /// Such as `text/markdown`.
    pub media_type: String,
    /// The bytes.
    #[serde(with = "bytes_as_text")]
    #[schemars(with = "bytes_as_text::Content")]
    pub content: Vec<u8>,
}

/// A tool of one session. Its failure is data: the run goes on.
pub trait Tool: Send + Sync {
    fn spec(&self) -> &Arc<ToolSpec>;

    /// The component that it is of: its SHA-256, hexadecimal. What a person allows is allowed to that file alone.
    fn digest(&self) -> &str;

    /// What the input must fit, compiled once.
    fn input_schema(&self) -> &Schema;

    /// What a call of it could do; none for a tool of the embedding program, which has that program's powers.
    fn powers(&self) -> Option<&ToolPowers> {
        None
    }

    /// Dropping the future stops the call: the guest never runs again.
    fn call(&self, invocation: ToolInvocation) -> BoxFuture<'static, Result<ToolOutput>>;

    /// What the call would change; changes nothing. None where the tool can't say.
    fn preview(&self, invocation: ToolInvocation) -> Option<BoxFuture<'static, Result<ToolOutput>>>;
}

impl std::fmt::Debug for ToolInvocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolInvocation")
            .field("call_id", &self.call_id)
            .finish_non_exhaustive()
    }
}

/// UTF-8 content stays readable in the journal; anything else is written as a list of bytes.
mod bytes_as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// The bytes of an artifact.
    #[derive(Serialize, Deserialize, schemars::JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub(super) enum Content {
        /// As text where they are UTF-8.
        Text(String),
        /// Else as a list of numbers.
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Content::Text(text.to_owned()),
            Err(_) => Content::Bytes(bytes.to_vec()),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Content::deserialize(deserializer)? {
            Content::Text(text) => text.into_bytes(),
            Content::Bytes(bytes) => bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traits_are_words() {
        let check = |found: ToolTraits, expected: &str| assert_eq!(found.words(), expected);
        check(ToolTraits::default(), "");
        check(
            ToolTraits {
                read_only: true,
                idempotent: true,
                resource: Some("file:{/path}".to_owned()),
                timeout_ms: Some(5),
                ..ToolTraits::default()
            },
            "read-only, idempotent, at most 5 ms, resource file:{/path}",
        );
        check(
            ToolTraits {
                destructive: true,
                exclusive: true,
                previews: true,
                approval: true,
                touches_workspace: true,
                ..ToolTraits::default()
            },
            "destructive, exclusive, previews, approval",
        );
    }
}
