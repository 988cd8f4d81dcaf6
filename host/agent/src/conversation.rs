//! A session's conversation: a fold over its events, so that what the model sees is what the journal says.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sandbar_protocol::{Event, EventBody, Message, Role, StopReason, ToolOutcome};

use crate::effects::{ARGUMENTS_DENIED, DENIED_BY_RULE};

/// The thread that lasts as long as the session; the others end with their run.
pub(crate) const MAIN: &str = "main";

/// What the threads of a session hold after the events so far.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    threads: HashMap<String, Thread>,
    /// Ids of calls that were asked for: a provider may use one twice, a journal may not.
    call_ids: HashSet<String>,
    sequence: u64,
}

#[derive(Debug, Clone, Default)]
struct Thread {
    entries: Vec<Entry>,
    /// Results by call id: they come in the order in which calls end, and are sent in the order in which they were asked for.
    results: HashMap<String, Arc<Message>>,
}

#[derive(Debug, Clone)]
struct Entry {
    message: Arc<Message>,
    /// The model call that gave it.
    effect: Option<String>,
}

impl Conversation {
    /// From the journal, in order.
    pub fn apply(&mut self, event: &Event) {
        self.sequence = event.sequence;
        self.apply_body(&event.body);
    }

    /// The last event that was applied.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    fn apply_body(&mut self, body: &EventBody) {
        match body {
            EventBody::RunStarted { message, .. } => self.push(MAIN, Message::new(Role::User, message.as_str()), None),
            EventBody::ModelStarted { thread, appended, .. } => {
                for message in appended {
                    self.push(thread, message.clone(), None);
                }
            }
            EventBody::ModelFinished {
                effect, thread, reply, ..
            } => {
                self.call_ids
                    .extend(reply.message.calls.iter().map(|call| call.id.clone()));
                self.push(thread, reply.message.clone(), Some(effect.clone()));
            }
            EventBody::ToolFinished {
                call_id,
                thread,
                name,
                outcome,
                ..
            } => {
                self.add_result(thread, call_id, name, outcome);
            }
            EventBody::ReplyDiscarded { id, .. } => self.discard(id),
            EventBody::ValidationRetry { thread, problem, .. } => {
                self.push(thread, Message::new(Role::User, problem.as_str()), None);
            }
            EventBody::RunFinished(result) => {
                self.threads.retain(|name, _| name == MAIN);
                // A pattern may answer without the model; the next turn must see that answer.
                let last = self.threads.get(MAIN).and_then(|thread| thread.entries.last());
                let unanswered = last.is_some_and(|entry| entry.message.role != Role::Assistant);
                if unanswered && result.stop_reason == StopReason::Finished && !result.text.is_empty() {
                    self.push(MAIN, Message::new(Role::Assistant, result.text.as_str()), None);
                }
            }
            EventBody::StepDecided { .. }
            | EventBody::ModelDiscarded { .. }
            | EventBody::ModelRetried { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::DelegateStarted { .. }
            | EventBody::DelegateFinished { .. }
            | EventBody::MemoryStarted { .. }
            | EventBody::MemoryFinished { .. }
            | EventBody::Artifact(_)
            | EventBody::Unsupported { .. }
            | EventBody::Suspended(_)
            | EventBody::Resumed { .. }
            | EventBody::Custom { .. }
            | EventBody::Unknown(_) => {}
        }
    }

    fn push(&mut self, thread: &str, message: Message, effect: Option<String>) {
        let thread = self.threads.entry(thread.to_owned()).or_default();
        thread.entries.push(Entry {
            message: Arc::new(message),
            effect,
        });
    }

    fn add_result(&mut self, thread: &str, call_id: &str, name: &str, outcome: &ToolOutcome) {
        let (text, failed) = outcome_text(outcome);
        if self.call_ids.contains(call_id) {
            let message = Arc::new(Message::tool_result(call_id, text, failed));
            self.threads
                .entry(thread.to_owned())
                .or_default()
                .results
                .insert(call_id.to_owned(), message);
        } else {
            // The pattern's own call: no provider accepts a result that its model did not ask for.
            let text = format!("result of `{name}`:\n{text}");
            self.push(thread, Message::new(Role::User, text), None);
        }
    }

    fn discard(&mut self, id: &str) {
        for thread in self.threads.values_mut() {
            if let Some(index) = thread
                .entries
                .iter()
                .position(|entry| entry.effect.as_deref() == Some(id))
            {
                let entry = thread.entries.remove(index);
                for call in &entry.message.calls {
                    thread.results.remove(&call.id);
                }
            }
        }
    }

    pub(crate) fn has_reply(&self, id: &str) -> bool {
        self.threads
            .values()
            .any(|thread| thread.entries.iter().any(|entry| entry.effect.as_deref() == Some(id)))
    }

    /// An id for a call that no other call of the session has.
    pub(crate) fn unique_call_id(&self, id: &str, taken: &HashSet<String>) -> String {
        let base = if id.is_empty() { "call" } else { id };
        let mut candidate = base.to_owned();
        let mut n = 2;
        while self.call_ids.contains(&candidate) || taken.contains(&candidate) {
            candidate = format!("{base}-{n}");
            n += 1;
        }
        candidate
    }

    /// The messages of a thread as a provider accepts them: every call has its result, in the order of the calls.
    pub(crate) fn messages(&self, thread: &str) -> Vec<Arc<Message>> {
        let Some(thread) = self.threads.get(thread) else {
            return Vec::new();
        };
        let mut messages = Vec::with_capacity(thread.entries.len());
        for entry in &thread.entries {
            messages.push(entry.message.clone());
            for call in &entry.message.calls {
                let result = thread.results.get(&call.id).cloned();
                messages.push(result.unwrap_or_else(|| {
                    Arc::new(Message::tool_result(
                        call.id.as_str(),
                        "this call was not carried out",
                        true,
                    ))
                }));
            }
        }
        messages
    }

    /// The text of the last answer in the main thread since the last user message.
    pub(crate) fn last_text(&self) -> String {
        let Some(thread) = self.threads.get(MAIN) else {
            return String::new();
        };
        let entry = thread
            .entries
            .iter()
            .rev()
            .find(|entry| entry.message.role == Role::Assistant || entry.effect.is_none());
        entry
            .filter(|entry| entry.message.role == Role::Assistant)
            .map(|entry| entry.message.text.clone())
            .unwrap_or_default()
    }
}

/// What the model reads of an outcome, and whether it is a failure.
/// Codes of refusals whose hint is a line of the configuration.
const FOR_OPERATORS: [&str; 3] = [DENIED_BY_RULE, ARGUMENTS_DENIED, "denied"];

pub(crate) fn outcome_text(outcome: &ToolOutcome) -> (String, bool) {
    match outcome {
        ToolOutcome::Output(output) => (output.text.clone(), false),
        // What would allow it is for whoever runs Sandbar: a model that reads it might talk somebody into it.
        ToolOutcome::Error(error) if FOR_OPERATORS.contains(&error.code.as_str()) => (
            format!("error [{}]: {}\nhint: go on without it", error.code, error.message),
            true,
        ),
        ToolOutcome::Error(error) => (format!("error [{}]: {}", error.code, error.text()), true),
    }
}

#[cfg(test)]
mod tests {
    use sandbar_protocol::{Error, ErrorKind, ModelReply, RunSetup, ToolCall, ToolOutput, Usage};

    use super::*;

    fn reply(effect: &str, text: &str, calls: &[&str]) -> EventBody {
        let calls = calls
            .iter()
            .map(|id| ToolCall {
                id: (*id).to_owned(),
                name: "t".to_owned(),
                arguments: String::new(),
            })
            .collect();
        let message = Message {
            calls,
            ..Message::new(Role::Assistant, text)
        };
        let reply = ModelReply {
            message,
            finish_reason: "stop".to_owned(),
            usage: Usage::default(),
        };
        EventBody::ModelFinished {
            effect: effect.to_owned(),
            thread: MAIN.to_owned(),
            reply,
            ms: 0,
        }
    }

    fn result(id: &str, outcome: ToolOutcome) -> EventBody {
        EventBody::ToolFinished {
            effect: format!("e-{id}"),
            call_id: id.to_owned(),
            thread: MAIN.to_owned(),
            name: "t".to_owned(),
            outcome,
            denials: Vec::new(),
            ms: 0,
        }
    }

    fn shown(conversation: &Conversation) -> Vec<String> {
        conversation
            .messages(MAIN)
            .iter()
            .map(|message| {
                format!(
                    "{:?} {} {}",
                    message.role,
                    message.call_id.as_deref().unwrap_or("-"),
                    message.text
                )
            })
            .collect()
    }

    #[test]
    fn results_are_sent_in_call_order_and_none_is_missing() {
        let mut conversation = Conversation::default();
        let output = |text: &str| {
            ToolOutcome::Output(ToolOutput {
                text: text.to_owned(),
                ..ToolOutput::default()
            })
        };
        let started = EventBody::RunStarted {
            agent: "a".to_owned(),
            message: "hi".to_owned(),
            workspace: None,
            parent: None,
            setup: RunSetup::default(),
        };
        for (n, body) in [
            started,
            reply("e1", "", &["x", "y", "z"]),
            result("z", output("last")),
            result(
                "x",
                ToolOutcome::Error(Error::new(ErrorKind::Plugin, "boom", "it broke")),
            ),
            result("own-1", output("unasked")),
        ]
        .iter()
        .enumerate()
        {
            conversation.sequence = n as u64 + 1;
            conversation.apply_body(body);
        }
        assert_eq!(
            shown(&conversation),
            [
                "User - hi",
                "Assistant - ",
                "Tool x error [boom]: it broke",
                "Tool y this call was not carried out",
                "Tool z last",
                "User - result of `t`:\nunasked",
            ]
        );
        assert_eq!(conversation.unique_call_id("x", &HashSet::new()), "x-2");
        conversation.discard("e1");
        assert_eq!(shown(&conversation), ["User - hi", "User - result of `t`:\nunasked"]);
    }
}
