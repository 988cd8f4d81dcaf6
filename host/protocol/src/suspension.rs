//! Suspensions: a run that waits for an answer, for days if need be.

use std::sync::Arc;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::policy::Origin;
use crate::{Authority, SuspensionId};

/// What a run waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suspension {
    /// Names the question wherever it is answered.
    pub id: SuspensionId,
    pub kind: SuspensionKind,
    /// The effect that waits; none where the run itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// One or a few sentences for the person who answers. Text of a plugin is in it: sanitise it before it is shown.
    pub question: String,
    /// The tool call that waits, for `approval` and `unknown-outcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<SuspendedCall>,
    /// JSON Schema 2020-12 of the answer.
    pub schema: Value,
    /// Milliseconds since 1970 UTC; afterwards nobody can answer, and the run ends as `expired`.
    pub expires_ms: u64,
    pub answered_by: Answerers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SuspensionKind {
    /// May this tool be called?
    Approval,
    /// The pattern asks something.
    Question,
    /// A call that may not be repeated was cut off: did it happen?
    UnknownOutcome,
    /// The run has used up a limit: may it go on?
    Budget,
    /// A tool needs the person to sign in somewhere.
    SignIn,
}

/// Who may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answerers {
    /// Whoever talks with the agent, or an operator.
    User,
    /// Whoever runs Sandbar.
    Operator,
}

/// A tool call that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SuspendedCall {
    pub call_id: String,
    /// `<plugin>__<tool>`.
    pub tool: String,
    /// As they fit the tool's input schema; as text where they could not be read.
    pub arguments: Value,
    /// Who wants it; absent where a model asked for it.
    #[serde(default, skip_serializing_if = "is_model")]
    pub origin: Origin,
    /// What the call could do, each as in `read the files of /home/ada/notes`, from what is granted; nothing of it is the plugin's own
    /// word. Absent for a tool of the embedding program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub powers: Vec<String>,
    /// The same as data: what the call could do later is compared with it. Absent for a tool of the embedding program.
    #[serde(default, deserialize_with = "if_readable", skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destructive: bool,
    /// What the tool says it would change, as a unified diff where it can; it was asked in an instance that can't write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}

/// An answer, checked against the schema of its suspension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub value: Value,
    /// Who gave it, for the journal: `terminal`, `ada`.
    pub by: String,
}

/// What can't be read, of a later version or with a word in it that is a protected value, is no reason not to read the question: its
/// powers are there as sentences.
fn if_readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Authority>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

fn is_model(origin: &Origin) -> bool {
    *origin == Origin::Model
}

/// How long an approval holds; the answer to `approval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// For this call.
    Once,
    /// For every call of this tool in this session.
    Session,
    /// For every call of this tool in this workspace, until it is revoked.
    Always,
    Deny,
}

/// The answer to `unknown-outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mend {
    /// Call it again.
    Retry,
    /// Go on without it: the model reads that it is not known whether it happened.
    Skip,
    /// It happened: the model reads the text that is given.
    Result,
}

/// Asks a person who is there, and resolves to the answer, which fits the suspension's schema; none where nobody can say: then the
/// run suspends. Dropping the future takes the question back.
pub type Asker = Arc<dyn Fn(Arc<Suspension>) -> BoxFuture<'static, Option<Answer>> + Send + Sync>;

impl SuspensionKind {
    /// As it is in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Question => "question",
            Self::UnknownOutcome => "unknown-outcome",
            Self::Budget => "budget",
            Self::SignIn => "sign-in",
        }
    }

    pub fn answered_by(self) -> Answerers {
        match self {
            Self::Question | Self::SignIn => Answerers::User,
            Self::Approval | Self::UnknownOutcome | Self::Budget => Answerers::Operator,
        }
    }

    /// The schema of the answer where the kind fixes it; a question brings its own.
    pub fn schema(self) -> Value {
        let decision = |words: &[&str], more: Value| {
            let mut properties = json!({ "decision": { "enum": words } });
            if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
                properties.extend(more);
            }
            json!({ "type": "object", "properties": properties, "required": ["decision"], "additionalProperties": false })
        };
        match self {
            Self::Approval => decision(
                &["once", "session", "always", "deny"],
                json!({ "reason": { "type": "string", "maxLength": 4096 } }),
            ),
            Self::UnknownOutcome => decision(
                &["retry", "skip", "result"],
                json!({ "text": { "type": "string", "maxLength": 65_536 } }),
            ),
            Self::Budget => decision(
                &["extend", "stop"],
                json!({ "by": { "type": "integer", "minimum": 1, "maximum": 100_000 } }),
            ),
            Self::SignIn => decision(&["done", "cancel"], json!({})),
            Self::Question => json!({}),
        }
    }
}

impl Answer {
    /// The word under `decision`, where the schema has one.
    pub fn decision<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_value(self.value.get("decision")?.clone()).ok()
    }

    /// A text beside the decision.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.value.get(key)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileAccess, Schema};

    #[test]
    fn a_call_is_read_whatever_its_authority_says() {
        let check = |authority: Value, expected: Option<Authority>| {
            let call = json!({ "call_id": "c", "tool": "t", "arguments": {}, "powers": ["p"], "authority": authority });
            let read: SuspendedCall = serde_json::from_value(call).unwrap();
            assert_eq!(
                (read.authority, read.powers),
                (expected, vec!["p".to_owned()]),
                "{authority}"
            );
        };
        let known = json!({ "files": "read-only", "directories": [], "http": [], "secrets": [], "kv": "none" });
        let readable = Authority {
            files: FileAccess::ReadOnly,
            ..Authority::default()
        };
        check(known.clone(), Some(readable));
        check(Value::Null, None);
        let mut later = known.clone();
        later["mail"] = json!(true);
        check(later, None);
        let mut redacted = known;
        redacted["files"] = json!("[redacted]");
        check(redacted, None);
    }

    #[test]
    fn schemas_of_answers() {
        let check = |kind: SuspensionKind, answer: Value, fits: bool| {
            let schema = Schema::compile(&kind.schema()).unwrap();
            assert_eq!(schema.check(&answer).is_ok(), fits, "{kind:?} {answer}");
        };
        check(SuspensionKind::Approval, json!({ "decision": "once" }), true);
        check(
            SuspensionKind::Approval,
            json!({ "decision": "deny", "reason": "no" }),
            true,
        );
        check(SuspensionKind::Approval, json!({ "decision": "yes" }), false);
        check(SuspensionKind::Approval, json!("once"), false);
        check(SuspensionKind::UnknownOutcome, json!({ "decision": "retry" }), true);
        check(
            SuspensionKind::UnknownOutcome,
            json!({ "decision": "result", "text": "sent" }),
            true,
        );
        check(SuspensionKind::Budget, json!({ "decision": "extend", "by": 10 }), true);
        check(SuspensionKind::Budget, json!({ "decision": "extend", "by": 0 }), false);
        check(SuspensionKind::SignIn, json!({ "decision": "done", "x": 1 }), false);
        check(SuspensionKind::Question, json!("anything"), true);
    }
}
