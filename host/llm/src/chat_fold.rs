//! OpenAI Chat Completions: what comes back, folded event by event.
//!
//! Servers that call themselves compatible differ most in tool calls: fragments with or without an index, without an id, or whole
//! calls that all have the index 0. What the projection has no place for is kept as it came, and sent back with the next request.

use std::sync::Arc;

use sandbar_protocol::{ModelPart, ModelReply, Usage};
use serde_json::{Map, Value, json};

use crate::assemble::Assembly;
use crate::chat_request::FORMAT;
use crate::failure::{Complaint, Failure, Target};
use crate::frames::Frame;
use crate::limits::MAX_REPLY_BYTES;

/// What a call counts beside its arguments: the number of calls is limited too.
const CALL_BYTES: usize = 1024;
/// A reply that is too large and asks for more calls than this is so because of them.
const MANY_CALLS: usize = 1000;
/// The most of a provider's own word for why it stopped, in characters.
const REASON_CHARS: usize = 40;

/// What has been heard of one answer.
#[derive(Debug)]
pub(crate) struct ChatFold {
    target: Arc<Target>,
    assembly: Assembly,
    slots: Vec<Slot>,
    /// Fields of the message that the projection has no place for.
    rest: Map<String, Value>,
    /// Parts of the content that are no text.
    parts: Vec<Value>,
    refused: bool,
    reason: Option<String>,
    usage: Usage,
    done: bool,
    bytes: usize,
}

/// A tool call that is being written.
#[derive(Debug, Default)]
struct Slot {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// The id under which it was announced.
    announced: Option<String>,
    /// Fields that the projection has no place for.
    rest: Map<String, Value>,
}

impl ChatFold {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self {
            target,
            assembly: Assembly::default(),
            slots: Vec::new(),
            rest: Map::new(),
            parts: Vec::new(),
            refused: false,
            reason: None,
            usage: Usage::default(),
            done: false,
            bytes: 0,
        }
    }

    /// Nothing that matters follows.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the answer is whole, even if more might follow.
    pub(crate) fn has_ended(&self) -> bool {
        self.done || self.reason.is_some()
    }

    /// How much has been said. It grows with every sign of progress.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, frame: &Frame) -> Result<Vec<ModelPart>, Failure> {
        let (text, whole) = match frame {
            Frame::Event(event) => (event.data.trim().as_bytes(), false),
            Frame::Document(body) => (body.as_slice(), true),
        };
        if text.is_empty() || self.done {
            return Ok(Vec::new());
        }
        if text == b"[DONE]" {
            self.done = true;
            return Ok(Vec::new());
        }
        let failed = matches!(frame, Frame::Event(event) if event.name == "error");
        let value: Value = match serde_json::from_slice(text) {
            Ok(value) if !failed => value,
            _ if failed => return Err(self.complaint(&Complaint::read(text))),
            _ => return Err(Failure::lasting(self.target.garbled(&String::from_utf8_lossy(text)))),
        };
        let says_error = value.get("error").is_some_and(|error| !error.is_null());
        if says_error || value.get("object").and_then(Value::as_str) == Some("error") {
            return Err(self.complaint(&Complaint::of(&value)));
        }
        if !value.is_object() || (whole && value.get("choices").is_none()) {
            return Err(Failure::lasting(self.target.garbled(&value.to_string())));
        }
        let parts = self.chunk(&value);
        self.done |= whole;
        if self.bytes > MAX_REPLY_BYTES {
            return Err(Failure::lasting(match self.slots.len() {
                many if many > MANY_CALLS => self.target.too_many_calls(many),
                _ => self.target.too_large(),
            }));
        }
        for part in &parts {
            self.assembly.push(part).map_err(Failure::lasting)?;
        }
        Ok(parts)
    }

    pub(crate) fn finish(self) -> Result<ModelReply, Failure> {
        if !self.has_ended() {
            return Err(Failure::passing(self.target.cut_off()));
        }
        if let Some(slot) = self.slots.iter().find(|slot| slot.announced.is_none()) {
            let found = format!("a call without a name: {}", slot.arguments);
            return Err(Failure::lasting(self.target.garbled(&found)));
        }
        let calls = !self.slots.is_empty();
        let reason = self.reason.as_deref().map(|reason| match reason {
            "stop" if self.refused => "refusal",
            "stop" | "tool_calls" | "function_call" if calls => "tool-calls",
            "tool_calls" | "function_call" => "stop",
            "max_tokens" => "length",
            "content_filter" => "content-filter",
            other => other,
        });
        let reason = reason.map(|reason| self.target.quoted(reason, REASON_CHARS));
        let item = item(self.rest, self.parts, self.slots);
        let mut reply = self.assembly.finish(reason.as_deref(), self.usage);
        reply.message.provider_items.extend(item);
        Ok(reply)
    }

    fn complaint(&self, complaint: &Complaint) -> Failure {
        self.target.refused(complaint.status(), complaint, None)
    }

    fn chunk(&mut self, value: &Value) -> Vec<ModelPart> {
        if let Some(usage) = value.get("usage").filter(|usage| usage.is_object()) {
            self.usage = read_usage(usage);
        }
        let mut said = Vec::new();
        let choices = value.get("choices").and_then(Value::as_array);
        let first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
        if let Some(choice) = choices.and_then(|choices| choices.iter().find(first)) {
            // A whole message is news only where nothing has been said in pieces.
            let whole = choice.get("message").filter(|_| self.bytes == 0);
            if let Some(delta) = choice.get("delta").or(whole).and_then(Value::as_object) {
                self.delta(delta, &mut said);
            }
            if let Some(reason) = choice
                .get("finish_reason")
                .and_then(Value::as_str)
                .filter(|reason| !reason.is_empty())
            {
                self.reason = Some(reason.to_owned());
            }
        }
        said
    }

    fn delta(&mut self, delta: &Map<String, Value>, said: &mut Vec<ModelPart>) {
        for (key, value) in delta {
            match (key.as_str(), value) {
                ("role", _) | (_, Value::Null) => {}
                ("content", Value::String(text)) => self.say(text, said),
                ("content", Value::Array(parts)) => {
                    for part in parts {
                        self.part(part, said);
                    }
                }
                ("refusal", Value::String(text)) => {
                    self.refused |= !text.is_empty();
                    self.say(text, said);
                }
                ("tool_calls", Value::Array(calls)) => {
                    for call in calls {
                        self.call(call, said);
                    }
                }
                _ => {
                    self.bytes += size(value);
                    keep(&mut self.rest, key, value);
                }
            }
        }
    }

    fn say(&mut self, text: &str, said: &mut Vec<ModelPart>) {
        if !text.is_empty() {
            self.bytes += text.len();
            said.push(ModelPart::Text(text.to_owned()));
        }
    }

    fn part(&mut self, part: &Value, said: &mut Vec<ModelPart>) {
        match part.get("text").and_then(Value::as_str) {
            Some(text) if part.get("type").and_then(Value::as_str) == Some("text") => self.say(text, said),
            _ => {
                self.bytes += size(part);
                self.parts.push(part.clone());
            }
        }
    }

    fn call(&mut self, fragment: &Value, said: &mut Vec<ModelPart>) {
        let text = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let function = fragment.get("function");
        let name = text(function.and_then(|function| function.get("name")));
        let arguments = text(function.and_then(|function| function.get("arguments")));
        let (index, id) = (fragment.get("index").and_then(Value::as_u64), text(fragment.get("id")));
        let at = self.slot(index, &id, &name, &arguments);
        self.bytes += arguments.len();
        let slot = &mut self.slots[at];
        if slot.id.is_empty() {
            slot.id = id;
        }
        if slot.name.is_empty() {
            slot.name = name;
        }
        slot.arguments.push_str(&arguments);
        for (key, value) in fragment.as_object().into_iter().flatten() {
            if !matches!(key.as_str(), "index" | "id" | "type" | "function") && !value.is_null() {
                self.bytes += size(value);
                keep(&mut slot.rest, key, value);
            }
        }
        self.announce(at, arguments, said);
    }

    /// Which call a fragment belongs to; a new one, if to none.
    fn slot(&mut self, index: Option<u64>, id: &str, name: &str, arguments: &str) -> usize {
        let last = self.slots.len().checked_sub(1);
        let known = match index {
            Some(_) => self.slots.iter().rposition(|slot| slot.index == index),
            None if id.is_empty() => last,
            None => self.slots.iter().position(|slot| slot.id == id).or(last),
        };
        if let Some(at) = known.filter(|at| !self.slots[*at].begins_another(id, name, arguments)) {
            return at;
        }
        self.bytes += CALL_BYTES;
        self.slots.push(Slot {
            index,
            ..Slot::default()
        });
        self.slots.len() - 1
    }

    /// Tells of a call once its name is known, and then of its arguments.
    fn announce(&mut self, at: usize, fragment: String, said: &mut Vec<ModelPart>) {
        if self.slots[at].name.is_empty() {
            return;
        }
        let text = match self.slots[at].announced {
            Some(_) => fragment,
            None => {
                let id = self.unused_id(at);
                let slot = &mut self.slots[at];
                said.push(ModelPart::CallStarted {
                    id: id.clone(),
                    name: slot.name.clone(),
                });
                slot.announced = Some(id);
                slot.arguments.clone()
            }
        };
        if let Some(id) = self.slots[at].announced.clone().filter(|_| !text.is_empty()) {
            said.push(ModelPart::CallArguments { id, text });
        }
    }

    /// The provider's id, unless it has none or has used it twice.
    fn unused_id(&self, at: usize) -> String {
        let taken = |id: &str| self.slots.iter().any(|slot| slot.announced.as_deref() == Some(id));
        let wanted = match self.slots[at].id.as_str() {
            "" => format!("call-{at}"),
            id => id.to_owned(),
        };
        let mut id = wanted.clone();
        let mut number = at;
        while taken(&id) {
            id = format!("{wanted}-{number}");
            number += 1;
        }
        id
    }
}

impl Slot {
    /// Whether a fragment that seems to belong here is the beginning of another call.
    fn begins_another(&self, id: &str, name: &str, arguments: &str) -> bool {
        if name.is_empty() || self.name.is_empty() {
            return false;
        }
        if !id.is_empty() && !self.id.is_empty() {
            return id != self.id;
        }
        // Without ids: a name after whole arguments, with arguments of its own.
        !arguments.is_empty() && serde_json::from_str::<Map<String, Value>>(&self.arguments).is_ok()
    }
}

/// What the projection leaves out, in the shape of the provider's message; none if there is nothing.
fn item(mut rest: Map<String, Value>, parts: Vec<Value>, slots: Vec<Slot>) -> Option<Value> {
    rest.retain(|_, value| {
        let empty_list = value.as_array().is_some_and(Vec::is_empty);
        let empty_text = value.as_str() == Some("");
        !empty_list && !empty_text
    });
    if !parts.is_empty() {
        rest.insert("content".to_owned(), parts.into());
    }
    if slots.iter().any(|slot| !slot.rest.is_empty()) {
        rest.insert(
            "tool_calls".to_owned(),
            slots.into_iter().map(|slot| Value::Object(slot.rest)).collect(),
        );
    }
    (!rest.is_empty()).then(|| json!({"format": FORMAT, "message": rest}))
}

/// Adds what came in pieces: thoughts are texts that follow each other, lists grow, and of anything else the last counts.
fn keep(into: &mut Map<String, Value>, key: &str, value: &Value) {
    match (into.get_mut(key), value) {
        (Some(Value::String(text)), Value::String(more))
            if key.starts_with("reasoning") || key.starts_with("thinking") =>
        {
            text.push_str(more);
        }
        (Some(Value::Array(items)), Value::Array(more)) => items.extend(more.iter().cloned()),
        (Some(Value::Object(fields)), Value::Object(more)) => {
            for (key, value) in more {
                keep(fields, key, value);
            }
        }
        _ => {
            into.insert(key.to_owned(), value.clone());
        }
    }
}

/// What a value that is kept counts: an empty one is no progress.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) if items.is_empty() => 0,
        other => other.to_string().len(),
    }
}

fn read_usage(usage: &Value) -> Usage {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    Usage {
        input_tokens: number("/prompt_tokens"),
        output_tokens: number("/completion_tokens"),
        cached_tokens: number("/prompt_tokens_details/cached_tokens").or_else(|| number("/prompt_cache_hit_tokens")),
        reasoning_tokens: number("/completion_tokens_details/reasoning_tokens"),
    }
}

#[cfg(test)]
#[path = "chat_fold_tests.rs"]
mod tests;
