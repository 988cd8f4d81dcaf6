//! The line between a plugin and everything else: protected values don't cross it, and whoever accounts for plugins is told what did.
//!
//! Where a value is split, encrypted or compressed it isn't found. What keeps secrets from plugins is that they never get them; this is
//! for the ways around, such as a server that repeats what it was sent.

use std::sync::Arc;

use sandbar_protocol::{
    AuditCommit, AuditDecision, AuditEntry, AuditSink, DecidedBy, Decision, Error, MemoryEntry, MemoryOperation,
    MemoryOutput, Protected, Result, RunId, SessionId, ToolOutput,
};
use serde_json::Value;

use crate::egress::EgressSettings;
use crate::error::internal;

/// The run that a call is of; none for `describe` and the like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whose {
    pub(crate) session: Option<SessionId>,
    pub(crate) run: Option<RunId>,
}

/// The boundary of one plugin in one call.
#[derive(Clone)]
pub(crate) struct Boundary {
    pub(crate) protected: Arc<Protected>,
    audit: AuditSink,
    audit_first: AuditCommit,
    pub(crate) plugin: Arc<str>,
    whose: Whose,
}

/// What is told of a decision or a request.
pub(crate) struct Told<'a> {
    pub(crate) action: &'a str,
    pub(crate) target: &'a str,
    pub(crate) digest: Option<String>,
    pub(crate) decision: AuditDecision,
    pub(crate) by: DecidedBy,
}

impl Boundary {
    pub(crate) fn new(settings: &EgressSettings, plugin: Arc<str>, whose: Whose) -> Self {
        Self {
            protected: settings.protected.clone(),
            audit: settings.audit.clone(),
            audit_first: settings.audit_first.clone(),
            plugin,
            whose,
        }
    }

    pub(crate) fn tell(&self, told: Told<'_>) {
        (self.audit)(self.entry_of(told));
    }

    /// Before what it is about is done: an error means that it must not be.
    pub(crate) async fn tell_first(&self, told: Vec<Told<'_>>) -> Result<()> {
        let entries = told.into_iter().map(|told| self.entry_of(told)).collect();
        (self.audit_first)(entries).await
    }

    fn entry_of(&self, told: Told<'_>) -> AuditEntry {
        let Whose { session, run } = self.whose.clone();
        AuditEntry {
            session,
            run,
            plugin: Some(self.plugin.to_string()),
            action: told.action.to_owned(),
            target: self.protected.redact(told.target).into_owned(),
            digest: told.digest,
            decision: told.decision,
            by: told.by,
        }
    }

    /// That something was taken out of a thing, such as `the tool's text`.
    pub(crate) fn tell_redacted(&self, place: &str) {
        tracing::warn!(plugin = %self.plugin, "a protected value was taken out of {place}");
        self.tell(Told {
            action: "leak",
            target: place,
            digest: None,
            decision: AuditDecision::Redacted,
            by: DecidedBy::Default,
        });
    }

    /// That the plugin wanted what it may not.
    pub(crate) fn tell_denied(&self, action: &str, target: &str) {
        self.tell(Told {
            action,
            target,
            digest: None,
            decision: AuditDecision::Denied,
            by: DecidedBy::Default,
        });
    }

    /// A text without protected values.
    pub(crate) fn text(&self, place: &str, text: String) -> String {
        if self.protected.is_empty() {
            return text;
        }
        match self.protected.redact(&text) {
            std::borrow::Cow::Borrowed(_) => text,
            std::borrow::Cow::Owned(without) => {
                self.tell_redacted(place);
                without
            }
        }
    }

    /// The beginning of a text of any length, of at most so many bytes. What is searched for it has a few times as many, so that a long text costs
    /// no more than a short one; a value across the end of that is left out with it.
    pub(crate) fn beginning(&self, place: &str, text: &str, bytes: usize) -> String {
        let mut looked_at = &text[..text.floor_char_boundary(bytes.saturating_mul(4))];
        if looked_at.len() < text.len() {
            looked_at = &looked_at[..self.protected.settled(looked_at.as_bytes())];
        }
        let mut beginning = self.text(place, looked_at.to_owned());
        beginning.truncate(beginning.floor_char_boundary(bytes));
        beginning
    }

    pub(crate) fn bytes(&self, place: &str, bytes: Vec<u8>) -> Vec<u8> {
        if self.protected.is_empty() {
            return bytes;
        }
        match self.protected.redact_bytes(&bytes) {
            None => bytes,
            Some(without) => {
                self.tell_redacted(place);
                without
            }
        }
    }

    fn json(&self, place: &str, value: &mut Value) {
        if !self.protected.is_empty() && self.protected.redact_json(value) {
            self.tell_redacted(place);
        }
    }

    pub(crate) fn output(&self, mut output: ToolOutput) -> ToolOutput {
        if self.protected.is_empty() {
            return output;
        }
        output.text = self.text("the tool's text", output.text);
        output.user_text = output
            .user_text
            .map(|text| self.text("the tool's text for the user", text));
        if let Some(structured) = &mut output.structured {
            self.json("the tool's structured content", structured);
        }
        for artifact in &mut output.artifacts {
            artifact.name = self.text("an artifact's name", std::mem::take(&mut artifact.name));
            artifact.media_type = self.text("an artifact's media type", std::mem::take(&mut artifact.media_type));
            artifact.content = self.bytes("an artifact", std::mem::take(&mut artifact.content));
        }
        output
    }

    /// Also what was on standard error, which is in the message of a crash.
    pub(crate) fn error(&self, mut error: Error) -> Error {
        if self.protected.is_empty() {
            return error;
        }
        let place = "the plugin's error";
        error.code = self.text(place, error.code);
        error.message = self.text(place, error.message);
        error.hint = error.hint.map(|hint| self.text(place, hint));
        error
    }

    /// What a memory is asked: a person may want it to remember what no plugin is to see.
    pub(crate) fn operation(&self, operation: MemoryOperation) -> MemoryOperation {
        if self.protected.is_empty() {
            return operation;
        }
        let text = |text: String| self.text("what a memory is told", text);
        match operation {
            MemoryOperation::Recall { query } => MemoryOperation::Recall { query: text(query) },
            MemoryOperation::Remember { entry } => MemoryOperation::Remember {
                entry: self.entry("what a memory is told", entry),
            },
            MemoryOperation::Forget { id } => MemoryOperation::Forget { id },
            MemoryOperation::List { after, limit } => MemoryOperation::List { after, limit },
            MemoryOperation::Commit { request, reply } => MemoryOperation::Commit {
                request: text(request),
                reply: text(reply),
            },
        }
    }

    /// What a memory gives: it may have been there before anybody knew that it is a secret.
    pub(crate) fn remembered(&self, output: MemoryOutput) -> MemoryOutput {
        if self.protected.is_empty() {
            return output;
        }
        let place = "what a memory gives";
        let entries = output.entries.into_iter().map(|entry| self.entry(place, entry));
        MemoryOutput {
            entries: entries.collect(),
            id: output.id.map(|id| self.text(place, id)),
            next: output.next.map(|next| self.text(place, next)),
        }
    }

    fn entry(&self, place: &str, entry: MemoryEntry) -> MemoryEntry {
        let text = |text: String| self.text(place, text);
        let annotations = entry.annotations.into_iter();
        MemoryEntry {
            id: text(entry.id),
            text: text(entry.text),
            annotations: annotations.map(|(key, value)| (text(key), text(value))).collect(),
        }
    }

    /// Everything that a pattern decides, down to the arguments of its own calls: all of it is journaled, and much of it sent to a model.
    pub(crate) fn decision(&self, mut decision: Decision) -> Result<Decision> {
        if self.protected.is_empty() {
            return Ok(decision);
        }
        decision.state = decision.state.map(|state| self.bytes("the pattern's state", state));
        for action in &mut decision.actions {
            if let sandbar_protocol::Action::Artifact(artifact) = action {
                artifact.content = self.bytes("an artifact", std::mem::take(&mut artifact.content));
            }
            let unreadable = |error: serde_json::Error| internal("a decision can't be read again").with_source(error);
            let mut json = serde_json::to_value(&*action).map_err(unreadable)?;
            if self.protected.redact_json(&mut json) {
                self.tell_redacted("the pattern's decision");
                *action = serde_json::from_value(json).map_err(unreadable)?;
            }
        }
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sandbar_protocol::{
        Action, Artifact, ErrorKind, Message, ModelAction, OwnCall, Role, ToolRequest, ToolsAction,
    };
    use serde_json::json;

    use super::*;

    const VALUE: &str = "s3cr3t+value/of";

    /// What is told, and a boundary that tells it.
    fn boundary() -> (Arc<Mutex<Vec<String>>>, Boundary) {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let telling = told.clone();
        let settings = EgressSettings {
            protected: Arc::new(Protected::new([("key".to_owned(), VALUE.to_owned())])),
            audit: Arc::new(move |entry: AuditEntry| {
                let line = format!("{} {} {:?}", entry.action, entry.target, entry.decision);
                telling.lock().unwrap().push(line);
            }),
            ..EgressSettings::default()
        };
        (told, Boundary::new(&settings, "weather".into(), Whose::default()))
    }

    #[test]
    fn every_field_of_an_output_is_searched() {
        let (told, boundary) = boundary();
        let output = boundary.output(ToolOutput {
            text: format!("text {VALUE}"),
            structured: Some(json!({ VALUE: [VALUE, 1] })),
            user_text: Some(format!("user {VALUE}")),
            artifacts: vec![Artifact {
                name: format!("{VALUE}.md"),
                media_type: "text/plain".to_owned(),
                content: format!("content {VALUE}").into_bytes(),
            }],
        });
        let text = serde_json::to_string(&output).unwrap();
        assert!(!text.contains("s3cr3t"), "{text}");
        assert_eq!(output.text, "text [redacted]");
        assert_eq!(output.artifacts[0].content, b"content [redacted]");
        assert_eq!(
            *told.lock().unwrap(),
            [
                "leak the tool's text Redacted",
                "leak the tool's text for the user Redacted",
                "leak the tool's structured content Redacted",
                "leak an artifact's name Redacted",
                "leak an artifact Redacted",
            ]
        );
    }

    #[test]
    fn errors_and_decisions_are_searched() {
        let (told, boundary) = boundary();
        let error = Error::new(ErrorKind::Plugin, "broken", format!("it said {VALUE}")).with_hint(VALUE);
        assert_eq!(boundary.error(error).text(), "it said [redacted]\nhint: [redacted]");
        let decision = Decision {
            actions: vec![
                Action::Model(ModelAction {
                    thread: "main".to_owned(),
                    append: vec![Message::new(Role::User, format!("say {VALUE}"))],
                    instructions: Some(VALUE.to_owned()),
                    tools: None,
                    schema: Some(json!({ "const": VALUE })),
                }),
                Action::Tools(ToolsAction {
                    thread: "main".to_owned(),
                    calls: vec![ToolRequest::Own(OwnCall {
                        name: "files__write".to_owned(),
                        input: json!({ "content": VALUE }).to_string(),
                    })],
                }),
                Action::Finish {
                    text: Some(VALUE.to_owned()),
                    reason: "done".to_owned(),
                },
            ],
            state: Some(VALUE.into()),
        };
        let decision = boundary.decision(decision).unwrap();
        assert_eq!(decision.state.as_deref(), Some(b"[redacted]".as_slice()));
        let text = serde_json::to_string(&decision.actions).unwrap();
        assert!(
            !text.contains("s3cr3t") && text.matches("[redacted]").count() == 5,
            "{text}"
        );
        assert_eq!(told.lock().unwrap().len(), 6);
    }

    #[test]
    fn what_a_memory_is_told_and_gives_is_searched() {
        let (told, boundary) = boundary();
        let entry = |text: &str| MemoryEntry {
            id: text.to_owned(),
            text: format!("the key is {text}"),
            annotations: [(text.to_owned(), text.to_owned())].into(),
        };
        let remember = |text: &str| MemoryOperation::Remember { entry: entry(text) };
        let recall = |text: &str| MemoryOperation::Recall { query: text.to_owned() };
        let commit = |text: &str| MemoryOperation::Commit {
            request: text.to_owned(),
            reply: text.to_owned(),
        };
        assert_eq!(boundary.operation(remember(VALUE)), remember("[redacted]"));
        assert_eq!(boundary.operation(recall(VALUE)), recall("[redacted]"));
        assert_eq!(boundary.operation(commit(VALUE)), commit("[redacted]"));
        assert_eq!(boundary.operation(recall("weather")), recall("weather"));
        let output = |text: &str| MemoryOutput {
            entries: vec![entry(text)],
            id: Some(text.to_owned()),
            next: Some(text.to_owned()),
        };
        told.lock().unwrap().clear();
        assert_eq!(boundary.remembered(output(VALUE)), output("[redacted]"));
        assert_eq!(*told.lock().unwrap(), vec!["leak what a memory gives Redacted"; 6]);
    }

    /// Neither by cutting a text nor by taking characters out of it does one become visible.
    #[test]
    fn an_error_is_searched_before_it_is_cut_and_after() {
        use crate::bindings::tool::sandbar::plugin::types::Error as GuestError;

        let value = "s3cr3t-value-of-weather";
        let settings = EgressSettings {
            protected: Arc::new(Protected::new([("key".to_owned(), value.to_owned())])),
            ..EgressSettings::default()
        };
        let boundary = Boundary::new(&settings, "weather".into(), Whose::default());
        let check = |code: &str, message: String, expected: &str| {
            let error = GuestError {
                code: code.to_owned(),
                hint: Some(message.clone()),
                message,
                annotations: Vec::new(),
            };
            let refused = crate::tool::refusal("weather__now", &error, &boundary);
            assert_eq!(refused.code, expected);
            assert!(!format!("{refused:?}").contains("s3cr3t-v"), "{refused:?}");
        };
        check("failed", format!("{}{value}", "x ".repeat(2_040)), "failed");
        check("s3cr3t_-value_-of_-weather", String::new(), "[redacted]");
    }

    #[test]
    fn the_beginning_of_a_long_text_has_no_part_of_a_value() {
        let value: String = (0..40).map(|number| format!("{number:03}-s ")).collect();
        let value = value.trim();
        let settings = EgressSettings {
            protected: Arc::new(Protected::new([("key".to_owned(), value.to_owned())])),
            ..EgressSettings::default()
        };
        let boundary = Boundary::new(&settings, "weather".into(), Whose::default());
        for before in 0..300 {
            let text = format!("{}{}", "é".repeat(before), format!("{value}, ").repeat(100));
            let beginning = boundary.beginning("a text", &text, 1_000);
            assert!(
                beginning.len() <= 1_000 && beginning.contains("[redacted], "),
                "{beginning}"
            );
            assert!(
                (0..40).all(|number| !beginning.contains(&format!("{number:03}-s"))),
                "{beginning}"
            );
        }
        assert_eq!(boundary.beginning("a text", "short", 1_000), "short");
        assert_eq!(boundary.beginning("a text", &"é".repeat(9_000), 1_001), "é".repeat(500));
    }

    #[test]
    fn what_is_innocent_stays_as_it_is() {
        let (told, boundary) = boundary();
        assert_eq!(boundary.text("a text", "s3cr3t".to_owned()), "s3cr3t");
        assert_eq!(boundary.bytes("bytes", vec![0, 255]), [0, 255]);
        assert!(told.lock().unwrap().is_empty());
    }
}
