//! Secrets: the configuration holds references to them, never the secrets.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sandbar_plugins::{read_regular_text, why_unread};
use sandbar_protocol::{Error, ErrorKind, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::schema::SECRET_FORMAT;

/// The largest secret that is read from a file.
const MAX_BYTES: u64 = 64 << 10;

/// Where a secret is: `env:NAME` or `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    /// The name of an environment variable.
    Env(String),
    /// A file whose text is the secret; a line break at its end is not part of it.
    File(PathBuf),
}

/// A secret. It is shown only to who asks for it by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl SecretRef {
    /// Reads the secret; a relative file is relative to `base`.
    pub fn read(&self, base: &Path) -> Result<Secret> {
        let (found, text) = match self {
            Self::Env(name) => {
                #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
                let value = std::env::var(name);
                (
                    format!("the variable `{name}`"),
                    value.map_err(|_| "is not set to a text".to_owned()),
                )
            }
            Self::File(path) => {
                let text = read_regular_text(&base.join(path), MAX_BYTES);
                let found = format!("the file `{}`", path.display());
                (
                    found,
                    text.map_err(|error| format!("can't be read: {}", why_unread(&error))),
                )
            }
        };
        let missing = |why: String| {
            Error::new(
                ErrorKind::Config,
                "config-missing-secret",
                format!("{found} should hold a secret, but {why}"),
            )
            .with_hint("put the secret there; it is never written into the configuration")
        };
        let text = text.map_err(missing)?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(missing("is empty".to_owned()));
        }
        Ok(Secret(secret.to_owned()))
    }
}

impl SecretRef {
    /// Where it is, as a hint names it.
    pub fn place(&self) -> String {
        match self {
            Self::Env(name) => format!("`{name}`"),
            Self::File(path) => format!("`{}`", path.display()),
        }
    }
}

impl FromStr for SecretRef {
    type Err = Error;

    /// The error never shows the text: it may be a secret that was written by mistake.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |message: &str| {
            Error::new(ErrorKind::Config, "config-bad-secret", message)
                .with_hint("write `env:NAME` or `file:PATH`, and put the secret there")
        };
        match text.split_once(':') {
            Some(("env", name)) if is_variable(name) => Ok(Self::Env(name.to_owned())),
            Some(("env", _)) => Err(bad("what follows `env:` is not the name of a variable")),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("file", _)) => Err(bad("no path follows `file:`")),
            _ => Err(bad("a reference to a secret is wanted, not a secret")),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl JsonSchema for SecretRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": SECRET_FORMAT,
            "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$",
        })
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
