//! Events: the rows of a journal, and what every reader of a run sees.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Action, Artifact, Error, ModelReply, RunId, RunResult, SessionId, ToolOutput};

/// One committed row of a session's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub session: SessionId,
    /// 1, 2, 3 … without a gap in a session.
    pub sequence: u64,
    pub run: RunId,
    /// Milliseconds since 1970 UTC.
    pub at_ms: u64,
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. `type` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum EventBody {
    #[serde(rename = "run.started")]
    RunStarted {
        agent: String,
        message: String,
        workspace: Option<crate::WorkspaceId>,
    },
    /// What the pattern decided; replay compares it.
    #[serde(rename = "step.decided")]
    StepDecided {
        step: u32,
        actions: Vec<Action>,
        /// The pattern's state where it changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Vec<u8>>,
    },
    /// A model call begins: the intent of an effect. `appended` are the messages that the pattern added to the thread.
    #[serde(rename = "model.started")]
    ModelStarted {
        effect: String,
        ordinal: u32,
        model: String,
        thread: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        appended: Vec<crate::Message>,
    },
    /// The authoritative answer of a model call.
    #[serde(rename = "model.finished")]
    ModelFinished {
        effect: String,
        thread: String,
        reply: ModelReply,
        ms: u64,
    },
    /// An attempt that gave no answer; its previews are void.
    #[serde(rename = "model.discarded")]
    ModelDiscarded { effect: String, error: Error, ms: u64 },
    /// A tool call begins: the intent of an effect.
    #[serde(rename = "tool.started")]
    ToolStarted {
        effect: String,
        /// The effect that asked for it; none for the run itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        ordinal: u32,
        call_id: String,
        thread: String,
        name: String,
        arguments: String,
        /// SHA-256 of the canonical arguments, hexadecimal.
        argument_digest: String,
        /// The same when the call is repeated after a crash.
        idempotency_key: String,
        idempotent: bool,
    },
    #[serde(rename = "tool.finished")]
    ToolFinished {
        effect: String,
        call_id: String,
        thread: String,
        name: String,
        #[serde(flatten)]
        outcome: ToolOutcome,
        ms: u64,
    },
    #[serde(rename = "artifact")]
    Artifact(Artifact),
    /// The pattern took back a reply: it leaves its thread.
    #[serde(rename = "reply.discarded")]
    ReplyDiscarded { id: String, reason: String },
    /// The pattern asked for something that this host can't do yet.
    #[serde(rename = "unsupported")]
    Unsupported { id: String, message: String },
    #[serde(rename = "run.finished")]
    RunFinished(#[serde(with = "result_of_run")] RunResult),
    /// A kind that this version doesn't know: kept as it was.
    #[serde(untagged)]
    Unknown(Value),
}

/// How a tool call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolOutcome {
    Output(ToolOutput),
    Error(Error),
}

/// A preview: shown, never journaled, void once its call is finished or discarded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Delta {
    #[serde(rename = "model.delta")]
    Model { effect: String, text: String },
    #[serde(rename = "tool.delta")]
    Tool { effect: String, text: String },
}

/// What a reader of a run gets: events in order, each committed, and previews between them.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    Event(Arc<Event>),
    Delta(Arc<Delta>),
}

impl EventBody {
    /// The name in `type`.
    pub fn name(&self) -> &str {
        match self {
            Self::RunStarted { .. } => "run.started",
            Self::StepDecided { .. } => "step.decided",
            Self::ModelStarted { .. } => "model.started",
            Self::ModelFinished { .. } => "model.finished",
            Self::ModelDiscarded { .. } => "model.discarded",
            Self::ToolStarted { .. } => "tool.started",
            Self::ToolFinished { .. } => "tool.finished",
            Self::Artifact(_) => "artifact",
            Self::ReplyDiscarded { .. } => "reply.discarded",
            Self::Unsupported { .. } => "unsupported",
            Self::RunFinished(_) => "run.finished",
            Self::Unknown(value) => value.get("type").and_then(Value::as_str).unwrap_or("unknown"),
        }
    }
}

/// In JSON the result is a field of its own: it has a session and a run, as every event has.
mod result_of_run {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::RunResult;

    #[derive(Serialize)]
    struct Shown<'a> {
        result: &'a RunResult,
    }

    #[derive(Deserialize)]
    struct Read {
        result: RunResult,
    }

    pub(super) fn serialize<S: Serializer>(result: &RunResult, serializer: S) -> Result<S::Ok, S::Error> {
        Shown { result }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunResult, D::Error> {
        Read::deserialize(deserializer).map(|read| read.result)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_come_back_as_they_went() {
        let started = json!({ "session": "s", "sequence": 1, "run": "r", "at_ms": 5, "type": "run.started", "agent": "a",
            "message": "hi", "workspace": null });
        let finished = json!({ "session": "s", "sequence": 2, "run": "r", "at_ms": 6, "type": "run.finished", "result": {
            "session": "s", "run": "r", "stop_reason": "finished", "text": "done", "steps": 1, "tool_calls": 0, "model_calls": 1,
            "usage": {}, "wall_ms": 3 } });
        for value in [started, finished] {
            let event: Event = serde_json::from_value(value.clone()).unwrap();
            assert!(!matches!(event.body, EventBody::Unknown(_)), "{event:?}");
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
            assert_eq!(text.matches("\"sequence\"").count(), 1);
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }

    #[test]
    fn an_unknown_event_is_kept() {
        let value = json!({ "type": "from.the.future", "x": 1 });
        let body: EventBody = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(
            (body.name(), serde_json::to_value(&body).unwrap()),
            ("from.the.future", value)
        );
    }
}
