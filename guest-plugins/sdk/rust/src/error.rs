//! Building the one shape of an error.

use crate::Error;

impl Error {
    /// `code` is for programs (`not-found`), `message` one sentence: what was wrong, where, what was expected.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            hint: None,
            annotations: Vec::new(),
        }
    }

    /// How to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same call may work later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.annotations.push(("retryable".to_owned(), "true".to_owned()));
        self
    }
}

/// So that `?` works on files; the message of the system is all that it says, so name the file where you can.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => "not-found",
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => "denied",
            _ => "io",
        };
        Self::new(code, error.to_string())
    }
}
