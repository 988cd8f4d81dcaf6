//! Why a request gave no response, as the plugin is told.

use std::fmt;

/// In the words of `wit/http.wit`; the text of each is fit for a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not granted. The plugin hears nothing else, so that it can't feel its way along the policy.
    Denied,
    Invalid(String),
    TooLarge(String),
    Timeout(String),
    UnknownHost(String),
    Unreachable(String),
    Untrusted(String),
    BadResponse(String),
    TooManyRedirects(u8),
    TooManyRequests(String),
    /// The audit could not be written; what is not in it is not done.
    NotRecorded,
}

impl Failure {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Invalid(_) => "invalid-request",
            Self::TooLarge(_) => "too-large",
            Self::Timeout(_) => "timeout",
            Self::UnknownHost(_) => "unknown-host",
            Self::Unreachable(_) => "unreachable",
            Self::Untrusted(_) => "untrusted-server",
            Self::BadResponse(_) => "bad-response",
            Self::TooManyRedirects(_) => "too-many-redirects",
            Self::TooManyRequests(_) => "too-many-requests",
            Self::NotRecorded => "not-recorded",
        }
    }

    /// What mends it, if that is something outside of the plugin.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Untrusted(_) => Some(
                "whoever runs Sandbar can name a file with the certificates of further authorities in the variable `SSL_CERT_FILE`; \
                 a certificate that has expired, or is for another name, is the server's to mend",
            ),
            _ => None,
        }
    }

    /// Whether the same request may work later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Timeout(_)
                | Self::UnknownHost(_)
                | Self::Unreachable(_)
                | Self::TooManyRequests(_)
                | Self::NotRecorded
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the request is not granted"),
            Self::NotRecorded => f.write_str("the request was not sent, since it can't be put down in the audit"),
            Self::TooManyRedirects(most) => write!(f, "more than {most} redirects"),
            Self::Invalid(text)
            | Self::TooLarge(text)
            | Self::Timeout(text)
            | Self::UnknownHost(text)
            | Self::Unreachable(text)
            | Self::Untrusted(text)
            | Self::BadResponse(text)
            | Self::TooManyRequests(text) => f.write_str(text),
        }
    }
}
