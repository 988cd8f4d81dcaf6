//! Takes protected values out of what is journaled or shown, before it is queued: here everything passes that a reader can see.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sandbar_protocol::{
    AuditDecision, AuditEntry, Error, ErrorKind, EventBody, Leak, Protected, Result, RunId, SessionId,
};
use serde_json::Value;

use crate::journal::Body;
use crate::lock;

/// An event as it may be written.
pub(crate) struct Clean {
    pub(crate) event: EventBody,
    pub(crate) body: Body,
    /// What was found in it.
    pub(crate) leak: Option<Leak>,
}

/// Looks for values in what one session writes.
#[derive(Debug)]
pub(crate) struct Redaction {
    protected: Arc<Protected>,
    /// Ends of texts that are still being written, by effect: a value may begin in them.
    held_back: Mutex<HashMap<String, String>>,
}

impl Redaction {
    pub(crate) fn new(protected: Arc<Protected>) -> Self {
        Self {
            protected,
            held_back: Mutex::default(),
        }
    }

    pub(crate) fn event(&self, event: EventBody) -> Result<Clean> {
        self.forget(&event);
        let body = Body::new(&event)?;
        let Some(leak) = self.protected.find(body.json().as_bytes()) else {
            return Ok(Clean {
                event,
                body,
                leak: None,
            });
        };
        let event = self.rebuilt(&body, &event)?;
        Ok(Clean {
            body: Body::new(&event)?,
            event,
            leak: Some(leak),
        })
    }

    /// What may be shown of a text that still goes on, with what was held back of it before.
    pub(crate) fn preview(&self, effect: &str, text: &str) -> Option<String> {
        if self.protected.is_empty() {
            return None;
        }
        let mut held_back = lock(&self.held_back);
        let held = held_back.entry(effect.to_owned()).or_default();
        held.push_str(text);
        let rest = held.split_off(self.protected.settled(held.as_bytes()));
        let settled = std::mem::replace(held, rest);
        Some(self.protected.redact(&settled).into_owned())
    }

    /// A call that begins has written nothing yet, and one that has ended writes no more.
    fn forget(&self, event: &EventBody) {
        if self.protected.is_empty() {
            return;
        }
        let mut held_back = lock(&self.held_back);
        match event {
            EventBody::ModelStarted { effect, .. }
            | EventBody::ModelFinished { effect, .. }
            | EventBody::ModelDiscarded { effect, .. }
            | EventBody::ToolStarted { effect, .. }
            | EventBody::ToolFinished { effect, .. } => {
                held_back.remove(effect);
            }
            EventBody::RunFinished(_) => held_back.clear(),
            _ => {}
        }
    }

    fn rebuilt(&self, body: &Body, event: &EventBody) -> Result<EventBody> {
        let parsed: Value = serde_json::from_str(body.json()).map_err(|error| unreadable(event, error))?;
        let mut everywhere = parsed.clone();
        self.protected.redact_json(&mut everywhere);
        match serde_json::from_value(everywhere) {
            Ok(EventBody::Unknown(_)) | Err(_) => {}
            Ok(rebuilt) => return Ok(rebuilt),
        }
        // A number was taken for one of the values, where only a number fits: it is left, and the texts are not.
        let mut texts = parsed;
        self.redact_texts(&mut texts);
        serde_json::from_value(texts).map_err(|error| unreadable(event, error))
    }

    fn redact_texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.protected.redact(text).into_owned(),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_texts(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.redact_texts(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// For the audit: that something was taken out, and of which event.
pub(crate) fn entry(session: &SessionId, run: &RunId, event: &EventBody, leak: &Leak) -> AuditEntry {
    AuditEntry {
        session: Some(session.clone()),
        run: Some(run.clone()),
        decision: AuditDecision::Redacted,
        ..AuditEntry::of("leak", &format!("{} as {} in {}", leak.name, leak.form, event.name()))
    }
}

/// It is not written: rather is the run ended.
fn unreadable(event: &EventBody, error: serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        "bad-event",
        format!("an event `{}` can't be written without a protected value", event.name()),
    )
    .with_hint("report this as a defect")
    .with_source(error)
}
