//! Ids: text that is safe as a name everywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// The longest id that is accepted, in bytes.
const MAX_ID_BYTES: usize = 128;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Accepts 1 to 128 of `A-Z a-z 0-9 . _ -`, the first no `.`.
            pub fn parse(text: &str) -> Result<Self> {
                check_id($noun, text)?;
                Ok(Self(text.into()))
            }

            /// Makes an id of 64 random bits or more; `entropy` comes from outside.
            pub fn from_entropy(entropy: u64) -> Self {
                Self(format!(concat!($prefix, "{:016x}"), entropy).into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

id!(
    /// A durable conversation.
    SessionId, "session id", "s-"
);
id!(
    /// One request to an agent in a session.
    RunId, "run id", "r-"
);
id!(
    /// One instance of a directory that sessions may see; forks get their own.
    WorkspaceId, "workspace id", "w-"
);
id!(
    /// One question that a run waits for.
    SuspensionId, "suspension id", "q-"
);

fn check_id(noun: &str, text: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > MAX_ID_BYTES {
        format!("is {} bytes long", text.len())
    } else if text.starts_with('.') {
        "starts with `.`".to_owned()
    } else if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        format!("has the character {bad:?}")
    } else {
        return Ok(());
    };
    let shown: String = text.chars().take(40).collect::<String>().escape_debug().collect();
    Err(Error::new(
        ErrorKind::InvalidInput,
        "bad-id",
        format!("the {noun} `{shown}` {problem}"),
    )
    .with_hint("an id is 1 to 128 of A-Z a-z 0-9 . _ - and does not start with a dot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_as_names() {
        for good in ["a", "s-01", "A.b_c-d"] {
            assert!(SessionId::parse(good).is_ok(), "{good}");
        }
        let long = "x".repeat(10_000);
        for bad in ["", "../x", "a/b", "a\0b", ".hidden", "ü", long.as_str()] {
            let error = SessionId::parse(bad).unwrap_err();
            assert_eq!(error.code, "bad-id", "{bad}");
            assert!(error.message.len() < 120, "{}", error.message);
        }
    }
}
