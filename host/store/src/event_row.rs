//! A row of the table of events: what makes one of what is read, and the chain of checksums that it is part of. Pure: no database.

use sandbar_protocol::{Event, Result, RunId, SessionId};
use sha2::{Digest as _, Sha256};

use crate::blobs;

/// Half of a SHA-256: this finds damage, it doesn't keep out somebody who can write the file.
pub type Checksum = [u8; 16];

/// As it is read; its session and its number are what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub run: String,
    /// The type.
    pub name: String,
    pub at_ms: u64,
    /// None where the body is a blob.
    pub body: Option<String>,
    /// The blob's digest.
    pub blob: Option<Vec<u8>>,
    pub checksum: Checksum,
}

impl EventRow {
    /// Whether it is what was written as that number after the row with that checksum; the error says what is wrong with it.
    pub fn check(&self, sequence: u64, previous: &Checksum) -> Result<(), String> {
        let content = match (&self.body, &self.blob) {
            (_, Some(digest)) => digest.as_slice(),
            (Some(body), None) => body.as_bytes(),
            (None, None) => return Err("it has no body".to_owned()),
        };
        if chain(previous, sequence, self.at_ms, &self.run, &self.name, content) != self.checksum {
            return Err("its checksum doesn't fit its content and the event before it".to_owned());
        }
        Ok(())
    }

    /// The event, of a row that was checked. `spilled` is what is kept under the blob's digest.
    pub fn event(&self, session: &SessionId, sequence: u64, spilled: Option<&[u8]>) -> Result<Event, String> {
        let json = match &self.blob {
            None => self.body.as_deref().unwrap_or_default().as_bytes(),
            Some(digest) => spilled
                .filter(|bytes| blobs::digest(bytes) == digest.as_slice())
                .ok_or("the blob with its body is missing or damaged")?,
        };
        Ok(Event {
            session: session.clone(),
            sequence,
            run: RunId::parse(&self.run).map_err(|error| error.message)?,
            at_ms: self.at_ms,
            body: serde_json::from_slice(json).map_err(|error| format!("its body is no JSON: {error}"))?,
        })
    }
}

/// What the first row of a session is chained to: rows can't be moved between sessions.
pub fn seed(session: &SessionId) -> Checksum {
    half(Sha256::new_with_prefix("sandbar journal 1\0").chain_update(session.as_str()))
}

/// The checksum of a row; the content is its body, or the digest of the blob that is its body.
pub fn chain(previous: &Checksum, sequence: u64, at_ms: u64, run: &str, name: &str, content: &[u8]) -> Checksum {
    half(
        Sha256::new_with_prefix(previous)
            .chain_update(sequence.to_le_bytes())
            .chain_update(at_ms.to_le_bytes())
            // Lengths, so that no two rows read as the same bytes.
            .chain_update((run.len() as u64).to_le_bytes())
            .chain_update(run)
            .chain_update((name.len() as u64).to_le_bytes())
            .chain_update(name)
            .chain_update(content),
    )
}

fn half(hash: Sha256) -> Checksum {
    let whole: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|index| whole[index])
}
