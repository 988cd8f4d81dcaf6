//! The chain of the audit: what an entry's hash covers, and how a chain is checked. Pure, so that an exported chain is checked by the
//! same code as the table.
//!
//! The hash of an entry is the SHA-256 of, in this order: `sandbar audit 1` and a zero byte; the hash of the entry before it (32 zero
//! bytes for the first); its number and its time as 8 bytes each, the least significant first; session, run and plugin; action and
//! target; the digest of the arguments; the decision; who decided, as a kind (`person`, `rule`, `default`) and a name. A text is its length in bytes as 8
//! bytes, then its UTF-8; one that may be missing has a byte before it, 0 where it is missing (then nothing follows) and 1 where it is
//! there. So no two entries read as the same bytes.

use std::fmt;

use sandbar_protocol::{AuditEntry, DecidedBy, Error, ErrorKind, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

const VERSION: &[u8] = b"sandbar audit 1\0";

/// SHA-256 of an entry and of all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHash(pub(crate) [u8; 32]);

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// 1, 2, 3 … without a gap.
    pub id: u64,
    /// Milliseconds since 1970 UTC.
    pub at_ms: u64,
    #[serde(flatten)]
    pub entry: AuditEntry,
    pub previous: AuditHash,
    pub hash: AuditHash,
}

/// A chain, or the end of one, that is checked entry by entry.
#[derive(Debug)]
pub struct AuditCheck {
    /// A hash that must come by.
    wanted: Option<AuditHash>,
    first: Option<u64>,
    last: Option<(u64, AuditHash)>,
}

/// What a sound chain has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSpan {
    pub first: u64,
    pub last: u64,
    /// Of the last entry: kept elsewhere, it tells later that nothing was cut off.
    pub head: AuditHash,
}

impl AuditHash {
    /// What the first entry is chained to.
    pub(crate) const SEED: Self = Self([0; 32]);

    /// From 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(
                ErrorKind::InvalidInput,
                "bad-hash",
                format!("`{}` is no hash of an entry", text.escape_debug()),
            )
            .with_hint("it has 64 hexadecimal digits, as `sandbar audit verify` shows the last one")
        };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl AuditRecord {
    /// The entry that follows the one with that number and hash.
    pub(crate) fn after(last: Option<(u64, AuditHash)>, at_ms: u64, entry: AuditEntry) -> Self {
        let (id, previous) = last.map_or((1, AuditHash::SEED), |(id, hash)| (id + 1, hash));
        let mut record = Self {
            id,
            at_ms,
            entry,
            previous,
            hash: AuditHash::SEED,
        };
        record.hash = record.computed();
        record
    }

    fn computed(&self) -> AuditHash {
        let entry = &self.entry;
        let mut hash = Sha256::new_with_prefix(VERSION);
        hash.update(self.previous.0);
        hash.update(self.id.to_le_bytes());
        hash.update(self.at_ms.to_le_bytes());
        optional(&mut hash, entry.session.as_ref().map(|id| id.as_str()));
        optional(&mut hash, entry.run.as_ref().map(|id| id.as_str()));
        optional(&mut hash, entry.plugin.as_deref());
        text(&mut hash, &entry.action);
        text(&mut hash, &entry.target);
        optional(&mut hash, entry.digest.as_deref());
        text(&mut hash, entry.decision.as_str());
        let (kind, name) = columns_of(&entry.by);
        text(&mut hash, kind);
        optional(&mut hash, name);
        AuditHash(hash.finalize().into())
    }
}

/// Who decided, as a kind and a name.
pub(crate) fn columns_of(by: &DecidedBy) -> (&'static str, Option<&str>) {
    match by {
        DecidedBy::Person(name) => ("person", Some(name)),
        DecidedBy::Rule(line) => ("rule", Some(line)),
        DecidedBy::Default => ("default", None),
    }
}

impl AuditCheck {
    /// `head` is a hash that was the last one once.
    pub fn new(head: Option<AuditHash>) -> Self {
        Self {
            wanted: head,
            first: None,
            last: None,
        }
    }

    /// The next entry; the error names the first that is not what was written.
    pub fn take(&mut self, record: &AuditRecord) -> Result<()> {
        let expected = match self.last {
            Some((last, _)) => last + 1,
            // A part of a chain begins anywhere, and says what it is chained to.
            None => record.id,
        };
        if record.id != expected {
            return Err(audit_damaged(
                expected,
                &format!("it is missing; the next one found is {}", record.id),
            ));
        }
        let previous = match self.last {
            Some((_, hash)) => hash,
            None if record.id == 1 => AuditHash::SEED,
            None => record.previous,
        };
        if record.previous != previous || record.computed() != record.hash {
            return Err(audit_damaged(
                record.id,
                "its hash doesn't fit its content and the entry before it",
            ));
        }
        self.first.get_or_insert(record.id);
        self.last = Some((record.id, record.hash));
        if self.wanted == Some(record.hash) {
            self.wanted = None;
        }
        Ok(())
    }

    /// None: there was no entry at all.
    pub fn finish(self) -> Result<Option<AuditSpan>> {
        if let Some(wanted) = self.wanted {
            let end = self.last.map_or(0, |(last, _)| last);
            let message = format!("no entry has the hash `{wanted}`: the chain ends at {end}");
            return Err(Error::new(ErrorKind::Storage, "audit-cut-off", message).with_hint(
                "entries at the end were cut off, or the whole chain was written anew; compare it with an export of before",
            ));
        }
        Ok(self
            .first
            .zip(self.last)
            .map(|(first, (last, head))| AuditSpan { first, last, head }))
    }

    /// The number that the next entry must have.
    pub(crate) fn next(&self) -> u64 {
        self.last.map_or(1, |(last, _)| last + 1)
    }
}

/// An entry is not what was written.
pub(crate) fn audit_damaged(id: u64, problem: &str) -> Error {
    Error::new(
        ErrorKind::Storage,
        "audit-damaged",
        format!("entry {id} of the audit is damaged: {problem}"),
    )
    .with_hint(
        "somebody or something has changed the data directory; what comes before that entry is as it was written",
    )
}

fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

fn optional(hash: &mut Sha256, value: Option<&str>) {
    hash.update([u8::from(value.is_some())]);
    if let Some(value) = value {
        text(hash, value);
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for AuditHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuditHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(error.message))
    }
}

#[cfg(test)]
mod tests {
    use sandbar_protocol::AuditDecision;

    use super::*;

    /// The encoding is for ever: whoever checks an old export with another program relies on it.
    #[test]
    fn the_encoding_stays_as_it_is() {
        let entry = AuditEntry {
            plugin: Some("files".to_owned()),
            digest: Some("ab".to_owned()),
            decision: AuditDecision::Denied,
            by: DecidedBy::Rule("consent.tools.files__write".to_owned()),
            ..AuditEntry::of("tool.call", "files__write")
        };
        let record = AuditRecord::after(None, 1_700_000_000_000, entry);
        assert_eq!(
            record.hash.to_string(),
            "7f198590db054b09e679d1583ff251e2315d66a3af88e84675f9c533f4083c1b"
        );
    }

    /// Each pair differs in what belongs to which field, or in what is missing.
    #[test]
    fn no_two_entries_read_the_same() {
        let base = AuditEntry::of("ab", "c");
        let with = |change: &dyn Fn(&mut AuditEntry)| {
            let mut entry = base.clone();
            change(&mut entry);
            AuditRecord::after(None, 1, entry).hash
        };
        let hashes = [
            with(&|_| {}),
            with(&|entry| (entry.action, entry.target) = ("a".to_owned(), "bc".to_owned())),
            with(&|entry| entry.plugin = Some(String::new())),
            with(&|entry| entry.plugin = Some("p".to_owned())),
            with(&|entry| entry.digest = Some("p".to_owned())),
            with(&|entry| entry.by = DecidedBy::Person("p".to_owned())),
            with(&|entry| entry.by = DecidedBy::Rule("p".to_owned())),
            with(&|entry| entry.decision = AuditDecision::Redacted),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert_eq!(hashes.iter().position(|other| other == hash), Some(index));
        }
    }

    #[test]
    fn hashes_are_read_back() {
        let hash = AuditRecord::after(None, 1, AuditEntry::of("a", "b")).hash;
        assert_eq!(AuditHash::parse(&hash.to_string()).unwrap(), hash);
        for wrong in ["", "abc", &"g".repeat(64), &"ü".repeat(32), &"+1".repeat(32)] {
            assert_eq!(AuditHash::parse(wrong).unwrap_err().code, "bad-hash", "{wrong}");
        }
    }
}
