//! The table of blobs: large bytes, kept once under their SHA-256.

use rusqlite::{Connection, OptionalExtension as _, params};
use sandbar_protocol::{Result, kill_point};
use sha2::{Digest as _, Sha256};

use crate::error::Doing as _;

pub(crate) type BlobDigest = [u8; 32];

pub(crate) fn digest(bytes: &[u8]) -> BlobDigest {
    Sha256::digest(bytes).into()
}

pub(crate) fn put(connection: &Connection, digest: &BlobDigest, bytes: &[u8]) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO blobs (digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .and_then(|mut statement| statement.execute(params![digest, bytes]))
        .doing("write a large event")?;
    kill_point("store.blob.inserted");
    Ok(())
}

/// None if it isn't there. Whether it is what its digest says is for `event_row.rs` to tell.
pub(crate) fn get(connection: &Connection, digest: &[u8]) -> Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT bytes FROM blobs WHERE digest = ?")
        .and_then(|mut statement| statement.query_row([digest], |row| row.get::<_, Vec<u8>>(0)).optional())
        .doing("read a large event")
}
