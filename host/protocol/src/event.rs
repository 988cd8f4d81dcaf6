//! Events: the rows of a journal, and what every reader of a run sees.

use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Action, Artifact, ChildRun, DelegateOutcome, Delta, Denial, Error, MemoryOp, MemoryOutcome, ModelReply, ParentRun,
    RunId, RunResult, RunSetup, SessionId, Suspension, SuspensionId, ToolOutput, Usage,
};

/// One committed row of a session's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The session whose journal it is in.
    pub session: SessionId,
    /// 1, 2, 3 … without a gap in a session.
    pub sequence: u64,
    /// The run that it is of.
    pub run: RunId,
    /// When it was appended: milliseconds since 1970 UTC.
    pub at_ms: u64,
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. `type` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum EventBody {
    /// A run begins: what was asked of which agent.
    #[serde(rename = "run.started")]
    RunStarted {
        /// Name of the agent in the configuration.
        agent: String,
        /// What the user asked.
        message: String,
        /// The directory that its tools see; null without one.
        workspace: Option<crate::WorkspaceId>,
        /// The run that gave this one its task; absent where a person or a program did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<ParentRun>,
        /// What the agent's name stood for: a run that is continued later goes on with this.
        #[serde(default, skip_serializing_if = "RunSetup::is_unknown")]
        setup: RunSetup,
    },
    /// What the pattern decided; replay compares it.
    #[serde(rename = "step.decided")]
    StepDecided {
        /// 1 for the first step of the run.
        step: u32,
        /// Milliseconds that the run had left when the pattern was asked.
        #[serde(default)]
        ms_left: u64,
        /// In the order in which they are carried out.
        actions: Vec<Action>,
        /// The pattern's own state, as bytes; absent where it is as it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Vec<u8>>,
    },
    /// A model call begins: the intent of an effect. `appended` are the messages that the pattern added to the thread.
    #[serde(rename = "model.started")]
    ModelStarted {
        /// Names the call in all events and previews of it.
        effect: String,
        /// Counts the effects of the run from 1.
        ordinal: u32,
        /// 1, and one more each time that the call is made again after the process died in it; absent for the first.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        attempt: u32,
        /// Name of the model in the configuration.
        model: String,
        /// The conversation that is continued: `main`, or one of the pattern's own.
        thread: String,
        /// Messages that the pattern added to the thread; absent without any.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        appended: Vec<crate::Message>,
    },
    /// The authoritative answer of a model call.
    #[serde(rename = "model.finished")]
    ModelFinished {
        /// The call.
        effect: String,
        /// The conversation that the reply belongs to.
        thread: String,
        reply: ModelReply,
        /// Milliseconds that the call took.
        ms: u64,
    },
    /// An attempt that gave no answer; its previews are void.
    #[serde(rename = "model.discarded")]
    ModelDiscarded {
        /// The call.
        effect: String,
        /// Why there is no answer.
        error: Error,
        /// Milliseconds that the attempt took.
        ms: u64,
    },
    /// Nothing of an answer came, and the model is asked again after a while, in the same attempt. What was shown stays valid: there was
    /// nothing yet.
    #[serde(rename = "model.retried")]
    ModelRetried {
        /// The call.
        effect: String,
        /// Which request of this attempt failed: 1 for the first.
        request: u32,
        /// Why it gave nothing.
        error: Error,
        /// Milliseconds until the next request.
        wait_ms: u64,
    },
    /// A tool call begins: the intent of an effect.
    #[serde(rename = "tool.started")]
    ToolStarted {
        /// Names the call in all events and previews of it.
        effect: String,
        /// The effect that asked for it; absent where the run itself did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        /// Counts the effects of the run from 1.
        ordinal: u32,
        /// 1, and one more each time that the call is made again because nobody knew how it ended; absent for the first.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        attempt: u32,
        /// The id under which the model, or the pattern, asked for the call.
        call_id: String,
        /// The conversation that the result goes to.
        thread: String,
        /// `<plugin>__<tool>`.
        name: String,
        /// As the model wrote them: perhaps no JSON.
        arguments: String,
        /// SHA-256 of the canonical arguments, hexadecimal.
        argument_digest: String,
        /// The same when the call is repeated after a crash.
        idempotency_key: String,
        /// Whether it may be repeated: twice is the same as once.
        idempotent: bool,
        /// A rule, a person or a limit said no: nothing is called, and the call doesn't count; absent for no.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        refused: bool,
    },
    /// A tool call has ended: `output` is there if the tool gave one, `error` if it failed. A failure is data for the model, the run goes on.
    #[serde(rename = "tool.finished")]
    ToolFinished {
        /// The call.
        effect: String,
        /// The id under which it was asked for.
        call_id: String,
        /// The conversation that the result goes to.
        thread: String,
        /// `<plugin>__<tool>`.
        name: String,
        #[serde(flatten)]
        outcome: ToolOutcome,
        /// What the plugin was refused while it worked, for the person who decides about grants; absent without any.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        denials: Vec<Denial>,
        /// Milliseconds that the call took.
        ms: u64,
    },
    /// A task is given to another agent: the intent of an effect.
    #[serde(rename = "delegate.started")]
    DelegateStarted {
        /// Names the delegation in all events of it.
        effect: String,
        /// Counts the effects of the run from 1.
        ordinal: u32,
        /// 1, and one more each time that the run is continued in the middle of it; absent for the first. The other agent's run is the
        /// same in all of them, and goes on where it was.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        attempt: u32,
        /// Name of the other agent in the configuration.
        agent: String,
        /// What it is asked.
        task: String,
        /// The other agent's session and run; absent where the delegation was refused, and nobody is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        child: Option<ChildRun>,
    },
    /// A delegation has ended: `text` is there if the other agent answered, `error` if it did not. A failure is data for the pattern, the
    /// run goes on.
    #[serde(rename = "delegate.finished")]
    DelegateFinished {
        /// The delegation.
        effect: String,
        /// Name of the other agent in the configuration.
        agent: String,
        #[serde(flatten)]
        outcome: DelegateOutcome,
        /// Calls of tools and delegations in the other agent's run; the result of this run counts them, too.
        tool_calls: u32,
        /// Model calls in the other agent's run; the result of this run counts them, too.
        model_calls: u32,
        /// What these took.
        usage: Usage,
        /// Milliseconds that the other agent took, without waiting for people.
        ms: u64,
    },
    /// A memory operation begins: the intent of an effect.
    #[serde(rename = "memory.started")]
    MemoryStarted {
        /// Names the operation in all events of it.
        effect: String,
        /// Counts the effects of the run from 1.
        ordinal: u32,
        /// 1, and one more each time that it is done again after the process died in it; absent for the first.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        attempt: u32,
        /// Name of the memory's plugin.
        plugin: String,
        /// What it is asked.
        op: MemoryOp,
        /// The first 2 KiB of what it is given: the user's message for `recall`, message and answer for `commit`.
        input_head: String,
        /// SHA-256 of all that it is given, hexadecimal.
        input_digest: String,
        /// Whether it may be repeated: twice is the same as once.
        idempotent: bool,
    },
    /// A memory operation has ended: `output` is there if the memory gave one, `error` if it failed. A failure is only recorded: the run
    /// goes on without what would have been remembered.
    #[serde(rename = "memory.finished")]
    MemoryFinished {
        /// The operation.
        effect: String,
        /// Name of the memory's plugin.
        plugin: String,
        /// What it was asked.
        op: MemoryOp,
        #[serde(flatten)]
        outcome: MemoryOutcome,
        /// Milliseconds that it took.
        ms: u64,
    },
    /// The pattern hands out a result that is kept beside the conversation.
    #[serde(rename = "artifact")]
    Artifact(Artifact),
    /// The pattern took back a reply: it leaves its thread.
    #[serde(rename = "reply.discarded")]
    ReplyDiscarded {
        /// The reply: the effect of its model call.
        id: String,
        /// The pattern's own words.
        reason: String,
    },
    /// A reply does not fit the schema that the pattern wanted: the model is told what is wrong and asked again.
    #[serde(rename = "validation.retry")]
    ValidationRetry {
        /// The reply.
        id: String,
        /// The conversation that the reply belongs to.
        thread: String,
        /// What the model reads.
        problem: String,
    },
    /// The pattern asked for something that this host can't do yet.
    #[serde(rename = "unsupported")]
    Unsupported {
        /// Names the note that the pattern gets.
        id: String,
        /// What this version doesn't do.
        message: String,
    },
    /// The run waits for an answer.
    #[serde(rename = "suspended")]
    Suspended(Box<Suspension>),
    /// The run goes on: an answer came, or its process had died and another one continues it.
    #[serde(rename = "resumed")]
    Resumed {
        /// The suspension that has ended; absent after the death of a process.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suspension: Option<SuspensionId>,
        /// It fits the suspension's schema; absent where nobody answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Value>,
        /// Who answered; absent where nobody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The pattern's own news, for whoever watches.
    #[serde(rename = "custom")]
    Custom {
        /// The pattern's own word for what this is.
        name: String,
        /// Whatever the pattern says.
        json: Value,
    },
    /// The run has ended. It is the last event of its run.
    #[serde(rename = "run.finished")]
    RunFinished(
        #[serde(with = "result_of_run")]
        #[schemars(with = "result_of_run::Read")]
        RunResult,
    ),
    /// A kind that this version doesn't know: kept as it was.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(Value),
}

/// How a tool call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ToolOutcome {
    /// What the tool gave; absent if it failed.
    Output(ToolOutput),
    /// Why there is no output; absent if there is one.
    Error(Error),
}

/// What a reader of a run gets: events in order, each committed, and previews between them.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    Event(Arc<Event>),
    Delta(Arc<Delta>),
}

impl Event {
    /// JSON Schema 2020-12 of an event as it is written: one branch of `anyOf` for each kind.
    pub fn schema() -> Value {
        written::<Self>()
    }
}

impl EventBody {
    /// The names of all kinds, in the order in which they are declared.
    pub const NAMES: &[&str] = &[
        "run.started",
        "step.decided",
        "model.started",
        "model.finished",
        "model.discarded",
        "model.retried",
        "tool.started",
        "tool.finished",
        "delegate.started",
        "delegate.finished",
        "memory.started",
        "memory.finished",
        "artifact",
        "reply.discarded",
        "validation.retry",
        "unsupported",
        "suspended",
        "resumed",
        "custom",
        "run.finished",
    ];

    /// The name in `type`.
    pub fn name(&self) -> &str {
        match self {
            Self::RunStarted { .. } => "run.started",
            Self::StepDecided { .. } => "step.decided",
            Self::ModelStarted { .. } => "model.started",
            Self::ModelFinished { .. } => "model.finished",
            Self::ModelDiscarded { .. } => "model.discarded",
            Self::ModelRetried { .. } => "model.retried",
            Self::ToolStarted { .. } => "tool.started",
            Self::ToolFinished { .. } => "tool.finished",
            Self::DelegateStarted { .. } => "delegate.started",
            Self::DelegateFinished { .. } => "delegate.finished",
            Self::MemoryStarted { .. } => "memory.started",
            Self::MemoryFinished { .. } => "memory.finished",
            Self::Artifact(_) => "artifact",
            Self::ReplyDiscarded { .. } => "reply.discarded",
            Self::ValidationRetry { .. } => "validation.retry",
            Self::Unsupported { .. } => "unsupported",
            Self::Suspended(_) => "suspended",
            Self::Resumed { .. } => "resumed",
            Self::Custom { .. } => "custom",
            Self::RunFinished(_) => "run.finished",
            Self::Unknown(value) => value.get("type").and_then(Value::as_str).unwrap_or("unknown"),
        }
    }
}

/// JSON Schema of a type as it is written.
pub(crate) fn written<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(n: &u32) -> bool {
    *n == 1
}

/// In JSON the result is a field of its own: it has a session and a run, as every event has.
mod result_of_run {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::RunResult;

    #[derive(Serialize)]
    struct Shown<'a> {
        result: &'a RunResult,
    }

    #[derive(Deserialize, schemars::JsonSchema)]
    pub(super) struct Read {
        /// How it ended, and what it took.
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
    fn every_kind_has_its_name() {
        let schema = Event::schema();
        let kinds = schema["anyOf"].as_array().unwrap();
        let declared: Vec<&str> = kinds
            .iter()
            .map(|kind| kind["properties"]["type"]["const"].as_str().unwrap())
            .collect();
        assert_eq!(declared, EventBody::NAMES);
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
