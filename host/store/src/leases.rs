//! The table of leases: which process writes a session.
//!
//! The fence grows at each takeover and is checked in every transaction that appends: a process that lost its lease, for
//! example because somebody removed its lock file, can't write over its successor.

use rusqlite::{Connection, OptionalExtension as _, params};
use sandbar_protocol::{Error, ErrorKind, Result, SessionId, kill_point};

use crate::error::Doing as _;
use crate::process::Process;

/// Takes the session for this process, unless another one that lives has it.
pub(crate) fn take(connection: &Connection, session: &SessionId, process: &Process) -> Result<u64> {
    if let Some((Some(holder), _)) = find(connection, session)?
        && holder != process.id
        && let Some(pid) = process.holder(&holder)
    {
        return Err(busy(session, &pid));
    }
    let fence = connection
        .prepare_cached(
            "INSERT INTO leases (session, process, fence) VALUES (?, ?, 1)
            ON CONFLICT (session) DO UPDATE SET process = excluded.process, fence = fence + 1 RETURNING fence",
        )
        .and_then(|mut statement| {
            statement.query_row(params![session.as_str(), process.id], |row| row.get::<_, i64>(0))
        })
        .map(|fence| fence as u64)
        .doing("take the lease of a session")?;
    kill_point("store.lease.taken");
    Ok(fence)
}

/// Takes a session that was made in this transaction: nobody has had it before.
pub(crate) fn take_first(connection: &Connection, session: &SessionId, process: &Process) -> Result<u64> {
    connection
        .prepare_cached("INSERT INTO leases (session, process, fence) VALUES (?, ?, 1)")
        .and_then(|mut statement| statement.execute(params![session.as_str(), process.id]))
        .doing("take the lease of a session")?;
    Ok(1)
}

/// Fails unless this process still holds the session under this fence.
pub(crate) fn check(connection: &Connection, session: &SessionId, process: &Process, fence: u64) -> Result<()> {
    match find(connection, session)? {
        Some((Some(holder), found)) if holder == process.id && found == fence => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Storage,
            "lease-lost",
            format!("another process has taken over the session `{session}`"),
        )
        .with_hint("continue the session there, or open it here again when it is free")),
    }
}

/// Who writes the session: a process id.
pub(crate) fn holder(connection: &Connection, session: &SessionId, process: &Process) -> Result<Option<String>> {
    Ok(match find(connection, session)? {
        Some((Some(holder), _)) if holder == process.id => Some(std::process::id().to_string()),
        Some((Some(holder), _)) => process.holder(&holder),
        _ => None,
    })
}

pub(crate) fn release(connection: &Connection, session: &SessionId, process: &Process, fence: u64) -> Result<()> {
    connection
        .prepare_cached("UPDATE leases SET process = NULL WHERE session = ? AND process = ? AND fence = ?")
        .and_then(|mut statement| statement.execute(params![session.as_str(), process.id, fence as i64]))
        .doing("release the lease of a session")?;
    kill_point("store.lease.released");
    Ok(())
}

pub(crate) fn busy(session: &SessionId, pid: &str) -> Error {
    Error::new(
        ErrorKind::Busy,
        "session-busy",
        format!("the session `{session}` is in use by process {pid}"),
    )
    .with_hint("wait until its run has ended, or stop that process")
    .retryable()
}

fn find(connection: &Connection, session: &SessionId) -> Result<Option<(Option<String>, u64)>> {
    connection
        .prepare_cached("SELECT process, fence FROM leases WHERE session = ?")
        .and_then(|mut statement| {
            statement
                .query_row([session.as_str()], |row| {
                    Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))
                })
                .optional()
        })
        .doing("read the lease of a session")
}
