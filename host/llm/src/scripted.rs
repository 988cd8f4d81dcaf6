//! The scripted model: answers from a file, for examples, tests and evals.
//!
//! It keeps no state. Which reply is due follows from the number of assistant messages that it is sent, so that a session goes on at
//! the right place in another process, and parallel sessions don't disturb each other. For the same reason a call that fails and is
//! repeated fails again.

use std::sync::Arc;

use futures::{StreamExt, stream};
use regex::Regex;
use sandbar_protocol::{
    Error, ErrorKind, Message, Model, ModelPart, ModelReply, ModelRequest, ModelStream, Result, Role, Usage,
};

use crate::assemble::Assembly;
use crate::script::{Answer, Arguments, Call, MAIN_THREAD, Reply, Script};
use crate::template::{self, Variables};

/// The most of a message that an error shows, in characters.
const SHOWN_CHARS: usize = 200;

/// A model that answers what a script says.
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    name: String,
    script: Arc<Script>,
}

impl ScriptedModel {
    /// Checks a script that is already in memory; messages call it `origin`.
    pub fn parse(name: impl Into<String>, text: &str, origin: impl AsRef<str>) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            script: Arc::new(Script::parse(text, origin.as_ref())?),
        })
    }
}

impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, request: ModelRequest) -> ModelStream {
        match self.script.answer(&request) {
            Ok(Due::Parts { parts, delay }) => stream::iter(parts)
                .then(move |part| async move {
                    // The closing part is no delta: who has seen all text needn't wait for it.
                    if !delay.is_zero() && !matches!(part, ModelPart::Finished(_) | ModelPart::Retrying { .. }) {
                        tokio::time::sleep(delay).await;
                    }
                    Ok(part)
                })
                .boxed(),
            Ok(Due::Never) => stream::pending().boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
}

/// As a provider that is asked too often makes it; nothing is waited for.
fn retrying(request: u32) -> ModelPart {
    ModelPart::Retrying {
        request,
        error: Error::new(ErrorKind::Model, "rate-limited", "the script wants to be asked again").retryable(),
        wait_ms: 0,
    }
}

/// What a request gets.
#[derive(Debug)]
enum Due {
    Parts {
        parts: Vec<ModelPart>,
        delay: std::time::Duration,
    },
    Never,
}

impl Script {
    fn answer(&self, request: &ModelRequest) -> Result<Due> {
        let index = request.messages.iter().filter(|message| is_reply(message)).count();
        let Some(reply) = self.reply(&request.thread, index) else {
            return Err(self.exhausted(request, self.last_reply(&request.thread)));
        };
        self.check(reply, request)?;
        let variables = self.variables(request, index)?;
        match &reply.answer {
            Answer::Fails(error) => Err(error.clone()),
            Answer::Hangs => Ok(Due::Never),
            Answer::Message {
                text,
                calls,
                finish_reason,
                usage,
            } => {
                let mut parts = text_parts(&template::fill(text, &variables), reply.chunk);
                for (position, call) in calls.iter().enumerate() {
                    let id = call
                        .id
                        .clone()
                        .unwrap_or_else(|| call_id(&request.thread, index, position));
                    parts.extend(call_parts(call, &id, &variables, reply.chunk));
                }
                let whole = finish(&parts, finish_reason.as_deref(), *usage)?;
                parts.push(ModelPart::Finished(Box::new(whole)));
                parts.splice(0..0, (1..=reply.retries).map(retrying));
                Ok(Due::Parts {
                    parts,
                    delay: reply.delay,
                })
            }
        }
    }

    /// What the replies of a thread up to the one at `index` have captured.
    fn variables(&self, request: &ModelRequest, index: usize) -> Result<Variables> {
        let mut variables = Variables::new();
        let capturing = self.capturing(&request.thread);
        if capturing.first().is_none_or(|first| *first > index) {
            return Ok(variables);
        }
        let messages = &request.messages;
        // An earlier reply saw the messages before the assistant message that it became; the due one sees them all.
        let assistants = (0..messages.len()).filter(|at| is_reply(&messages[*at]));
        let seen: Vec<usize> = assistants.chain([messages.len()]).collect();
        for position in capturing.iter().take_while(|position| **position <= index) {
            if let (Some(reply), Some(end)) = (self.reply(&request.thread, *position), seen.get(*position)) {
                self.capture(reply, last_text(&messages[..*end]), &mut variables)?;
            }
        }
        Ok(variables)
    }

    /// Compares what was sent with what the reply expects; the first difference is the error.
    fn check(&self, reply: &Reply, request: &ModelRequest) -> Result<()> {
        let expect = &reply.expect;
        let last = request.messages.last();
        let text = last.map_or("", |message| message.text.as_str());
        self.check_text(reply, "the last message", expect.last.as_ref(), text)?;
        self.check_text(
            reply,
            "the instructions",
            expect.instructions.as_ref(),
            &request.instructions,
        )?;
        self.check_tools(reply, request)?;
        if let Some(count) = expect.messages
            && count != request.messages.len()
        {
            return Err(self.mismatch(reply, &format!("{count} messages"), &request.messages.len().to_string()));
        }
        let failed = last.is_some_and(|message| message.failed);
        match expect.failed {
            Some(true) if !failed => Err(self.mismatch(reply, "a last message that reports a failure", text)),
            Some(false) if failed => Err(self.mismatch(reply, "a last message that reports no failure", text)),
            _ => Ok(()),
        }
    }

    fn check_text(&self, reply: &Reply, what: &str, wanted: Option<&Regex>, sent: &str) -> Result<()> {
        match wanted {
            Some(regex) if !regex.is_match(sent) => {
                Err(self.mismatch(reply, &format!("{what} to match `{}`", regex.as_str()), sent))
            }
            _ => Ok(()),
        }
    }

    fn check_tools(&self, reply: &Reply, request: &ModelRequest) -> Result<()> {
        let Some(wanted) = &reply.expect.tools else {
            return Ok(());
        };
        let offered: Vec<&str> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
        let sent = || {
            if offered.is_empty() {
                "none".to_owned()
            } else {
                offered.join(", ")
            }
        };
        if wanted.is_empty() && !offered.is_empty() {
            return Err(self.mismatch(reply, "no tool to be offered", &sent()));
        }
        match wanted.iter().find(|name| !offered.contains(&name.as_str())) {
            Some(missing) => Err(self.mismatch(reply, &format!("the tool `{missing}` to be offered"), &sent())),
            None => Ok(()),
        }
    }

    fn capture(&self, reply: &Reply, text: &str, variables: &mut Variables) -> Result<()> {
        let Some(regex) = &reply.capture else { return Ok(()) };
        let Some(found) = regex.captures(text) else {
            let wanted = format!("to capture `{}` from the last message", regex.as_str());
            return Err(self.mismatch(reply, &wanted, text));
        };
        for name in regex.capture_names().flatten() {
            let value = found.name(name).map_or("", |group| group.as_str());
            variables.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn mismatch(&self, reply: &Reply, wanted: &str, sent: &str) -> Error {
        let message = format!(
            "reply {} of `{}` (line {}) expects {wanted}, but was sent `{}`",
            reply.number,
            self.origin,
            reply.line,
            shown(sent)
        );
        Error::new(ErrorKind::Model, "script-mismatch", message)
            .with_hint("change the script's expectation, or what leads to this request")
    }

    fn exhausted(&self, request: &ModelRequest, last: Option<&Reply>) -> Error {
        let thread = &request.thread;
        let sent = shown(last_text(&request.messages));
        let so_far = match last {
            Some(reply) => format!(
                "`{}` has no reply after number {} (line {}) for thread `{thread}`",
                self.origin, reply.number, reply.line
            ),
            None => format!("`{}` has no reply for thread `{thread}`", self.origin),
        };
        let hint = if thread == MAIN_THREAD {
            "add a `[[reply]]` at the end of the script".to_owned()
        } else {
            format!("add a `[[reply]]` with `expect = {{ thread = \"{thread}\" }}`")
        };
        let message = format!("{so_far}, but was sent `{sent}`");
        Error::new(ErrorKind::Model, "script-exhausted", message).with_hint(hint)
    }
}

fn is_reply(message: &Message) -> bool {
    message.role == Role::Assistant
}

fn last_text(messages: &[Arc<Message>]) -> &str {
    messages.last().map_or("", |message| message.text.as_str())
}

/// Unique in a conversation, and the same when the call is asked for again.
fn call_id(thread: &str, index: usize, position: usize) -> String {
    if thread == MAIN_THREAD {
        format!("call-{index}-{position}")
    } else {
        format!("call-{thread}-{index}-{position}")
    }
}

fn text_parts(text: &str, chunk: usize) -> Vec<ModelPart> {
    chunks(text, chunk)
        .map(|piece| ModelPart::Text(piece.to_owned()))
        .collect()
}

fn call_parts(call: &Call, id: &str, variables: &Variables, chunk: usize) -> Vec<ModelPart> {
    let arguments = match &call.arguments {
        Arguments::Json(value) => filled(value, variables).to_string(),
        Arguments::Verbatim(text) => template::fill(text, variables),
    };
    let started = ModelPart::CallStarted {
        id: id.to_owned(),
        name: call.name.clone(),
    };
    let pieces = chunks(&arguments, chunk).map(|piece| ModelPart::CallArguments {
        id: id.to_owned(),
        text: piece.to_owned(),
    });
    std::iter::once(started).chain(pieces).collect()
}

fn finish(parts: &[ModelPart], finish_reason: Option<&str>, usage: Usage) -> Result<ModelReply> {
    let mut assembly = Assembly::default();
    parts.iter().try_for_each(|part| assembly.push(part))?;
    Ok(assembly.finish(finish_reason, usage))
}

/// The same value with variables filled into its texts, so that a captured quote can't break the JSON.
fn filled(value: &serde_json::Value, variables: &Variables) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => template::fill(text, variables).into(),
        serde_json::Value::Array(items) => items.iter().map(|item| filled(item, variables)).collect(),
        serde_json::Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| (key.clone(), filled(field, variables)))
            .collect(),
        other => other.clone(),
    }
}

/// Pieces of `size` whole characters.
fn chunks(mut text: &str, size: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = text.char_indices().nth(size).map_or(text.len(), |(at, _)| at);
        let (piece, rest) = text.split_at(end);
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    if cut.len() < text.len() {
        format!("{cut}…")
    } else {
        cut
    }
}

#[cfg(test)]
#[path = "scripted_tests.rs"]
mod tests;
