//! What is kept of each decision and each effect, for whoever has to account for them.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{Result, RunId, SessionId};

/// One decision or effect, before it has its place in the chain. Never an argument or a secret: digests and names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub session: Option<SessionId>,
    pub run: Option<RunId>,
    /// The plugin that it is about; none for the host's own.
    pub plugin: Option<String>,
    /// What was done or wanted: `tool.call`, `model.call`, `http.request`, `secret.use`, `leak`, `plugin.approve` …
    pub action: String,
    /// On what: a tool's name, a method and a URL without its query, a secret's name.
    pub target: String,
    /// SHA-256 of the arguments, hexadecimal.
    pub digest: Option<String>,
    pub decision: AuditDecision,
    pub by: DecidedBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditDecision {
    Allowed,
    Denied,
    /// Something was taken out of a text.
    Redacted,
}

/// Who decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// A person, by the name under which they answered.
    Person(String),
    /// A line of the configuration.
    Rule(String),
    /// No line says anything: what holds by default.
    #[default]
    Default,
}

/// Where entries go; it never blocks.
pub type AuditSink = Arc<dyn Fn(AuditEntry) + Send + Sync>;

/// Where entries go without which what they are about must not be done. Ready when all of them are committed; none is if that fails.
pub type AuditCommit = Arc<dyn Fn(Vec<AuditEntry>) -> BoxFuture<'static, Result<()>> + Send + Sync>;

impl AuditEntry {
    /// Something of the host's own that was allowed, with nobody asked; the rest is filled in by who knows it.
    pub fn of(action: &str, target: &str) -> Self {
        Self {
            session: None,
            run: None,
            plugin: None,
            action: action.to_owned(),
            target: target.to_owned(),
            digest: None,
            decision: AuditDecision::Allowed,
            by: DecidedBy::Default,
        }
    }
}

impl AuditDecision {
    /// As it is in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Redacted => "redacted",
        }
    }
}

impl DecidedBy {
    /// The name under which an answer is given that nobody gave: the configuration wants nobody asked.
    pub const CONFIGURATION: &str = "configuration";

    /// Who decided, by the name under which an answer was given. What no person said is never told as a person's word.
    pub fn of_answer(by: &str) -> Self {
        match by {
            Self::CONFIGURATION => Self::Default,
            by => Self::Person(by.to_owned()),
        }
    }
}
