//! The tables of what plugins keep: keys and values in spaces, each with a quota.

use rusqlite::{Connection, OptionalExtension as _, params};
use sandbar_protocol::{Error, ErrorKind, KvScope, KvSpace, Result, kill_point};

use crate::columns;
use crate::error::Doing as _;

/// What one space may hold, with everything that is counted for it. A plugin that writes whatever it is told, or that writes in a loop
/// over days, would fill the disk on which every session's journal is.
pub const MAX_SPACE_BYTES: u64 = 4 << 20;

/// Counted for each key beside its bytes and those of its value: a million empty values are no small thing either.
const ENTRY_BYTES: u64 = 64;

/// The columns that name a space.
struct Columns<'a> {
    plugin: &'a str,
    scope: &'static str,
    place: &'a str,
}

impl<'a> From<&'a KvSpace> for Columns<'a> {
    fn from(space: &'a KvSpace) -> Self {
        let (scope, place) = match &space.scope {
            KvScope::Session(session) => ("session", session.as_str()),
            KvScope::Shared => ("shared", ""),
        };
        Self {
            plugin: &space.plugin,
            scope,
            place,
        }
    }
}

pub(crate) fn get(connection: &Connection, space: &KvSpace, key: &str) -> Result<Option<Vec<u8>>> {
    let Columns { plugin, scope, place } = space.into();
    connection
        .prepare_cached("SELECT value FROM key_values WHERE plugin = ? AND scope = ? AND place = ? AND key = ?")
        .and_then(|mut statement| {
            statement
                .query_row(params![plugin, scope, place, key], |row| row.get(0))
                .optional()
        })
        .doing("read what a plugin keeps")
}

/// In the order of their bytes. Keys are ASCII without control characters, so that DEL comes after all that begin with a prefix.
pub(crate) fn keys(
    connection: &Connection,
    space: &KvSpace,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>> {
    let Columns { plugin, scope, place } = space.into();
    let (end, limit) = (format!("{prefix}\u{7f}"), i64::try_from(limit).unwrap_or(i64::MAX));
    connection
        .prepare_cached(
            "SELECT key FROM key_values WHERE plugin = ? AND scope = ? AND place = ? AND key >= ? AND key < ? AND key > ?
            ORDER BY key LIMIT ?",
        )
        .and_then(|mut statement| {
            let found = params![plugin, scope, place, prefix, end, after.unwrap_or_default(), limit];
            statement.query_map(found, |row| row.get(0))?.collect()
        })
        .doing("list what a plugin keeps")
}

/// The refusal is none of the journal's: what else is written in the same transaction is written.
pub(crate) fn set(connection: &Connection, space: &KvSpace, key: &str, value: &[u8]) -> Result<Result<()>> {
    let before = held(connection, space, key)?;
    let after = ENTRY_BYTES + (key.len() + value.len()) as u64;
    let used = used(connection, space)? - before + after;
    if used > MAX_SPACE_BYTES && after > before {
        return Ok(Err(full(space)));
    }
    let Columns { plugin, scope, place } = space.into();
    connection
        .prepare_cached(
            "INSERT INTO key_values (plugin, scope, place, key, value) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (plugin, scope, place, key) DO UPDATE SET value = excluded.value",
        )
        .and_then(|mut statement| statement.execute(params![plugin, scope, place, key, value]))
        .doing("keep something for a plugin")?;
    count(connection, space, used)?;
    kill_point("store.kv.written");
    Ok(Ok(()))
}

pub(crate) fn delete(connection: &Connection, space: &KvSpace, key: &str) -> Result<()> {
    let used = used(connection, space)? - held(connection, space, key)?;
    let Columns { plugin, scope, place } = space.into();
    connection
        .prepare_cached("DELETE FROM key_values WHERE plugin = ? AND scope = ? AND place = ? AND key = ?")
        .and_then(|mut statement| statement.execute(params![plugin, scope, place, key]))
        .doing("forget something for a plugin")?;
    count(connection, space, used)
}

/// What a key counts for; nothing if it isn't there.
fn held(connection: &Connection, space: &KvSpace, key: &str) -> Result<u64> {
    let Columns { plugin, scope, place } = space.into();
    let found: Option<u64> = connection
        .prepare_cached("SELECT length(value) FROM key_values WHERE plugin = ? AND scope = ? AND place = ? AND key = ?")
        .and_then(|mut statement| {
            statement
                .query_row(params![plugin, scope, place, key], |row| columns::number(row, 0))
                .optional()
        })
        .doing("look for what a plugin keeps")?;
    Ok(found.map_or(0, |bytes| ENTRY_BYTES + key.len() as u64 + bytes))
}

fn used(connection: &Connection, space: &KvSpace) -> Result<u64> {
    let Columns { plugin, scope, place } = space.into();
    let found = connection
        .prepare_cached("SELECT bytes FROM key_value_spaces WHERE plugin = ? AND scope = ? AND place = ?")
        .and_then(|mut statement| {
            statement
                .query_row(params![plugin, scope, place], |row| columns::number(row, 0))
                .optional()
        })
        .doing("look at what a plugin has used")?;
    Ok(found.unwrap_or(0))
}

fn count(connection: &Connection, space: &KvSpace, used: u64) -> Result<()> {
    let Columns { plugin, scope, place } = space.into();
    connection
        .prepare_cached(
            "INSERT INTO key_value_spaces (plugin, scope, place, bytes) VALUES (?, ?, ?, ?)
            ON CONFLICT (plugin, scope, place) DO UPDATE SET bytes = excluded.bytes",
        )
        .and_then(|mut statement| statement.execute(params![plugin, scope, place, used as i64]))
        .doing("count what a plugin has used")?;
    Ok(())
}

fn full(space: &KvSpace) -> Error {
    Error::new(
        ErrorKind::Limit,
        "quota",
        format!(
            "`{}` may keep {} MiB here, and has used that up",
            space.plugin,
            MAX_SPACE_BYTES >> 20
        ),
    )
    .with_hint("delete what is no longer needed")
}
