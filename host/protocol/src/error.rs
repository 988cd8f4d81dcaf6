//! The one shape of an error, shared by the API, the stream, the journal and the terminal.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; the command line's exit code and the retry policy follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The caller asked for something malformed: arguments, a request, a name with bad characters.
    InvalidInput,
    /// The configuration, a manifest or a script is wrong.
    Config,
    /// A thing that was named isn't there.
    NotFound,
    /// A policy or a grant says no.
    Denied,
    /// A limit was met: time, memory, size, a budget.
    Limit,
    /// Somebody else holds what is needed.
    Busy,
    /// A plugin is broken, trapped, or answered nonsense.
    Plugin,
    /// A model or its provider failed.
    Model,
    /// The journal, a file or a disk failed.
    Storage,
    /// The run was cancelled.
    Cancelled,
    /// Not built yet, or not on this platform.
    Unsupported,
    /// A defect in Sandbar.
    Internal,
}

/// An error as its reader needs it: what was wrong and where, and how to mend it.
///
/// `source` keeps what caused it for logs; it isn't serialised, so that no path or secret of the host reaches a guest or a journal
/// by accident.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    /// Stable, for programs: lower-case words joined by `-`, such as `plugin-trapped`.
    pub code: String,
    pub kind: ErrorKind,
    /// Whether the same call may work later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// One sentence: lower case, no full stop, the thing in backticks.
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip)]
    source: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            kind,
            retryable: false,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, told from further out: `say` gets the message and gives the new one.
    #[must_use]
    pub fn told(mut self, say: impl FnOnce(&str) -> String) -> Self {
        self.message = say(&self.message);
        self
    }

    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(std::sync::Arc::new(source));
        self
    }

    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// The message and, on a line of its own, the hint: what a model or a terminal shows.
    pub fn text(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}\nhint: {hint}", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        if let Some(source) = &self.source {
            write!(f, " (source: {source})")?;
        }
        Ok(())
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        (&self.code, self.kind, self.retryable, &self.message, &self.hint)
            == (&other.code, other.kind, other.retryable, &other.message, &other.hint)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialised_error_carries_no_source() {
        let source = std::io::Error::other("/home/alice/secret");
        let error = Error::new(ErrorKind::Storage, "disk-full", "the journal is full")
            .with_source(source)
            .retryable();
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(
            json,
            r#"{"code":"disk-full","kind":"storage","retryable":true,"message":"the journal is full"}"#
        );
        assert_eq!(serde_json::from_str::<Error>(&json).unwrap(), error);
        assert!(format!("{error:?}").contains("/home/alice/secret"));
    }
}
