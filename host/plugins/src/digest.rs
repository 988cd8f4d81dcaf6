//! The identity of a component: the SHA-256 of its bytes, remembered per file so that a start doesn't read every component again.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        use std::fmt::Write;
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Digests by file, valid as long as inode, size and both times are the same.
///
/// This is a memo for speed only: what is run is the code under that digest in the host's own cache, so that a file with a forged time
/// runs as what it was when it was read, never as something unchecked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct DigestMemo {
    files: BTreeMap<PathBuf, Remembered>,
    #[serde(skip)]
    pub(crate) changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    identity: [i128; 5],
    digest: String,
}

impl DigestMemo {
    pub(crate) fn get(&self, path: &Path, metadata: &Metadata) -> Option<String> {
        let remembered = self.files.get(path)?;
        (remembered.identity == identity(metadata)).then(|| remembered.digest.clone())
    }

    pub(crate) fn put(&mut self, path: &Path, metadata: &Metadata, digest: &str) {
        let remembered = Remembered {
            identity: identity(metadata),
            digest: digest.to_owned(),
        };
        self.files.insert(path.to_owned(), remembered);
        self.changed = true;
    }
}

fn identity(metadata: &Metadata) -> [i128; 5] {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    [
        i128::from(metadata.dev()),
        i128::from(metadata.ino()),
        i128::from(metadata.size()),
        nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    ]
}
