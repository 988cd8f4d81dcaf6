//! The seam to what plugins keep: keys and values of their own, in spaces that never meet.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{Result, SessionId};

/// Whose keys: a plugin's, by its name and not by its digest, so that a newer component finds what the older one left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvSpace {
    pub plugin: Arc<str>,
    pub scope: KvScope,
}

/// How far a space reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvScope {
    /// One session's alone.
    Session(SessionId),
    /// One for all sessions of a data directory.
    Shared,
}

/// One look at a space, or one change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvCall {
    Get {
        key: String,
    },
    Set {
        key: String,
        value: Vec<u8>,
    },
    Delete {
        key: String,
    },
    /// Keys in the order of their bytes that begin with `prefix` and come after `after`, at most `limit`.
    Keys {
        prefix: String,
        after: Option<String>,
        limit: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvReply {
    /// None: there is no such key.
    Value(Option<Vec<u8>>),
    Keys(Vec<String>),
    /// Committed: it is there after a crash.
    Done,
}

/// Where keys and values are kept. A change is committed before the future resolves to `Done`.
pub type KeyValues = Arc<dyn Fn(KvSpace, KvCall) -> BoxFuture<'static, Result<KvReply>> + Send + Sync>;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 256;
/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 10;

/// What is wrong with a key, or with the beginning of one; none if it can be kept.
pub fn key_problem(key: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if key.len() > MAX_KEY_BYTES {
        return Some(format!("has {} bytes, the limit is {MAX_KEY_BYTES}", key.len()));
    }
    let bad = key.chars().find(|c| !allowed(*c))?;
    Some(format!("has the character {bad:?}, wanted A-Z a-z 0-9 . _ - / : @"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let check = |key: &str, problem: &str| {
            assert_eq!(key_problem(key).unwrap_or_default(), problem, "{key:.20}");
        };
        check("", "");
        check("entry/r-01:a@b.c_d", "");
        check("a b", "has the character ' ', wanted A-Z a-z 0-9 . _ - / : @");
        check("ü", "has the character 'ü', wanted A-Z a-z 0-9 . _ - / : @");
        check("a\0", "has the character '\\0', wanted A-Z a-z 0-9 . _ - / : @");
        check(&"k".repeat(256), "");
        check(&"k".repeat(257), "has 257 bytes, the limit is 256");
    }
}
