//! What a run has shown, and how it is written in a test.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sandbar::RunStream;
use sandbar::protocol::{
    Action, DelegateOutcome, DeltaKind, Event, EventBody, MemoryOutcome, RunResult, SessionId, StreamItem, ToolOutcome,
    ToolRequest,
};

/// No run of a test takes as long, so that one that never ends is a failure and not a wait.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a run has shown until it ended, or until it waits for an answer.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) session: SessionId,
    pub(crate) items: Vec<StreamItem>,
    pub(crate) result: RunResult,
}

impl Ran {
    /// A run that ends.
    pub(crate) async fn collect(stream: RunStream) -> Self {
        let ran = Self::read(stream).await;
        match ran.items.last() {
            Some(StreamItem::Event(last)) if matches!(last.body, EventBody::RunFinished(_)) => ran,
            last => panic!("the run has not ended: {last:?}"),
        }
    }

    /// A run that ends, or waits for an answer.
    pub(crate) async fn read(mut stream: RunStream) -> Self {
        let session = stream.session().clone();
        let mut items = Vec::new();
        let read = async {
            while let Some(item) = stream.next().await {
                items.push(item.unwrap());
            }
            stream.result().await.unwrap()
        };
        let result = tokio::time::timeout(PATIENCE, read).await.expect("a run must end");
        if let Some(StreamItem::Event(last)) = items.last()
            && let EventBody::RunFinished(last) = &last.body
        {
            assert_eq!(*last, result, "the journal has the same result");
        }
        Self { session, items, result }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.items.iter().filter_map(|item| match item {
            StreamItem::Event(event) => Some(event),
            StreamItem::Delta(_) => None,
        })
    }

    /// Text of a running tool's progress.
    pub(crate) fn progress(&self) -> String {
        let deltas = self.items.iter().filter_map(|item| match item {
            StreamItem::Delta(delta) => Some(delta.as_ref()),
            StreamItem::Event(_) => None,
        });
        deltas
            .filter(|delta| delta.kind == DeltaKind::Tool)
            .map(|delta| delta.text.as_str())
            .collect()
    }

    /// Every tool call that ended, in the order in which they did: its name and how it ended.
    pub(crate) fn calls(&self) -> Vec<(&str, &ToolOutcome)> {
        self.events().filter_map(|event| call_of(event)).collect()
    }

    /// What the last call of a tool gave: its text, or `code: message`.
    pub(crate) fn said(&self, tool: &str) -> String {
        let calls = self.calls();
        let found = calls.iter().rev().find(|(name, _)| *name == tool);
        told(
            found
                .unwrap_or_else(|| panic!("`{tool}` was not called: {:#?}", self.lines()))
                .1,
        )
    }

    /// Events in a line each, without what differs from run to run.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.events().map(|event| line(event)).collect()
    }
}

fn call_of(event: &Event) -> Option<(&str, &ToolOutcome)> {
    match &event.body {
        EventBody::ToolFinished { name, outcome, .. } => Some((name, outcome)),
        _ => None,
    }
}

pub(crate) fn told(outcome: &ToolOutcome) -> String {
    match outcome {
        ToolOutcome::Output(output) => output.text.clone(),
        ToolOutcome::Error(error) => format!("{}: {}", error.code, error.message),
    }
}

/// An event in one line, for people who read a test.
pub(crate) fn line(event: &Event) -> String {
    let mut line = event.body.name().to_owned();
    let more = match &event.body {
        EventBody::RunStarted { agent, message, .. } => format!("{agent} {}", short(message)),
        EventBody::StepDecided {
            step, actions, state, ..
        } => {
            let actions: Vec<String> = actions.iter().map(action).collect();
            let state = state
                .as_ref()
                .map_or(String::new(), |state| format!(" +state {}", state.len()));
            format!("{step}: {}{state}", actions.join("; "))
        }
        EventBody::ModelStarted {
            thread,
            appended,
            attempt,
            ..
        } => {
            let appended: String = appended
                .iter()
                .map(|message| format!(" + {}", short(&message.text)))
                .collect();
            format!("{thread}{appended}{}", again(*attempt))
        }
        EventBody::ModelFinished { reply, .. } => {
            let mut text = format!("{} {}", reply.finish_reason, short(&reply.message.text));
            for call in &reply.message.calls {
                let _ = write!(text, " {}={}({})", call.id, call.name, short(&call.arguments));
            }
            text
        }
        EventBody::ModelDiscarded { error, .. } => format!("{}: {}", error.code, error.message),
        EventBody::ToolStarted {
            call_id,
            name,
            arguments,
            attempt,
            ..
        } => format!("{call_id} {name} {}{}", short(arguments), again(*attempt)),
        EventBody::ToolFinished { call_id, outcome, .. } => {
            let ok = if matches!(outcome, ToolOutcome::Output(_)) {
                "ok"
            } else {
                "failed"
            };
            format!("{call_id} {ok} {}", short(&told(outcome)))
        }
        EventBody::ModelRetried {
            request,
            error,
            wait_ms,
            ..
        } => format!("{request} {}, {wait_ms} ms", error.code),
        EventBody::DelegateStarted { .. }
        | EventBody::DelegateFinished { .. }
        | EventBody::MemoryStarted { .. }
        | EventBody::MemoryFinished { .. } => line_of_others(&event.body),
        EventBody::Artifact(artifact) => format!("{} {}", artifact.name, artifact.media_type),
        EventBody::ReplyDiscarded { reason, .. } => reason.clone(),
        EventBody::ValidationRetry { problem, .. } => short(problem),
        EventBody::Unsupported { message, .. } => message.clone(),
        EventBody::Suspended(suspension) => {
            let call = suspension.call.as_ref().map(|call| format!(" of {}", call.call_id));
            let kind = suspension.kind.as_str();
            format!("{kind}{} {}", call.unwrap_or_default(), short(&suspension.question))
        }
        EventBody::Resumed { answer, by, .. } => match (answer, by) {
            (Some(answer), Some(by)) => format!("{answer} by {by}"),
            _ => "after it was cut off".to_owned(),
        },
        EventBody::Custom { name, json } => format!("{name} {json}"),
        EventBody::RunFinished(result) => finished(result),
        EventBody::Unknown(value) => value.to_string(),
    };
    let _ = write!(line, " {more}");
    line
}

/// What other agents and memories do.
fn line_of_others(body: &EventBody) -> String {
    match body {
        EventBody::DelegateStarted {
            agent,
            task,
            attempt,
            child,
            ..
        } => {
            let refused = if child.is_some() { "" } else { " refused" };
            format!("{agent} {}{}{refused}", short(task), again(*attempt))
        }
        EventBody::DelegateFinished {
            agent,
            outcome,
            tool_calls,
            model_calls,
            ..
        } => {
            let outcome = match outcome {
                DelegateOutcome::Text(text) => format!("ok {}", short(text)),
                DelegateOutcome::Error(error) => format!("failed {}: {}", error.code, error.message),
            };
            format!("{agent} {outcome} tools {tool_calls} models {model_calls}")
        }
        EventBody::MemoryStarted {
            plugin,
            op,
            input_head,
            attempt,
            ..
        } => format!("{plugin} {} {}{}", op.as_str(), short(input_head), again(*attempt)),
        EventBody::MemoryFinished { op, outcome, .. } => match outcome {
            MemoryOutcome::Output(output) => {
                let texts = output.entries.iter().map(|entry| format!(" {}", short(&entry.text)));
                format!("{} ok{}", op.as_str(), texts.collect::<String>())
            }
            MemoryOutcome::Error(error) => format!("{} failed {}: {}", op.as_str(), error.code, error.message),
        },
        other => other.name().to_owned(),
    }
}

/// Nothing for the first attempt.
fn again(attempt: u32) -> String {
    match attempt {
        1 => String::new(),
        n => format!(" attempt {n}"),
    }
}

pub(crate) fn finished(result: &RunResult) -> String {
    let reason = serde_json::to_value(result.stop_reason).unwrap();
    let mut line = reason.as_str().unwrap().to_owned();
    if let Some(word) = &result.finish_reason {
        let _ = write!(line, " ({word})");
    }
    let _ = write!(line, " {}", short(&result.text));
    if let Some(error) = &result.error {
        let _ = write!(line, " [{}: {}]", error.code, error.message);
    }
    let _ = write!(
        line,
        " steps {} tools {} models {}",
        result.steps, result.tool_calls, result.model_calls
    );
    line
}

fn action(action: &Action) -> String {
    match action {
        Action::Model(model) => format!("model {}", model.thread),
        Action::Tools(tools) => {
            let calls = tools.calls.iter().map(|call| match call {
                ToolRequest::Asked(id) => id.clone(),
                ToolRequest::Own(own) => format!("own {}", own.name),
            });
            format!("tools {}", calls.collect::<Vec<_>>().join(","))
        }
        Action::Delegate { agent, .. } => format!("delegate {agent}"),
        Action::Compact { thread } => format!("compact {thread}"),
        Action::Ask(ask) => format!("ask {}", ask.question),
        Action::Artifact(artifact) => format!("artifact {}", artifact.name),
        Action::Discard { .. } => "discard".to_owned(),
        Action::Emit { name, .. } => format!("emit {name}"),
        Action::Finish { reason, .. } => format!("finish {reason}"),
    }
}

/// On one line, and not longer than a reader cares for.
fn short(text: &str) -> String {
    let shown: String = text.chars().take(120).collect();
    let more = if shown.len() < text.len() {
        format!("… {} bytes", text.len())
    } else {
        String::new()
    };
    format!("{shown:?}{more}")
}
