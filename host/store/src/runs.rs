//! The table of runs, derived from `run.started` and `run.finished`.

use rusqlite::{Connection, Row, params};
use sandbar_protocol::{Error, ErrorKind, Event, Result, RunId, RunResult, SessionId, StopReason};
use serde_json::Value;

use crate::columns;
use crate::error::Doing as _;

/// A run without its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    pub id: RunId,
    pub agent: String,
    /// None while it has not ended: it goes on, or its process died.
    pub stop_reason: Option<StopReason>,
    pub first_sequence: u64,
    pub last_sequence: Option<u64>,
    pub started_ms: u64,
    pub finished_ms: Option<u64>,
}

pub(crate) fn start(connection: &Connection, event: &Event, agent: &str) -> Result<()> {
    // A run that is resumed in its session goes on under its id; anywhere else the id is taken.
    let written = connection
        .prepare_cached(
            "INSERT INTO runs (id, session, agent, state, first_sequence, started_ms) VALUES (?, ?, ?, 'running', ?, ?)
            ON CONFLICT (id) DO UPDATE SET state = 'running', stop_reason = NULL, last_sequence = NULL,
            finished_ms = NULL WHERE session = excluded.session",
        )
        .and_then(|mut statement| {
            let (run, session) = (event.run.as_str(), event.session.as_str());
            statement.execute(params![run, session, agent, event.sequence as i64, event.at_ms as i64])
        })
        .doing("record the start of a run")?;
    if written == 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "run-exists",
            format!(
                "the run `{}` belongs to another session than `{}`",
                event.run, event.session
            ),
        )
        .with_hint("use a new id for each run"));
    }
    Ok(())
}

pub(crate) fn finish(connection: &Connection, event: &Event, result: &RunResult) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE runs SET state = 'finished', stop_reason = ?, last_sequence = ?, finished_ms = ?
            WHERE id = ? AND session = ?",
        )
        .and_then(|mut statement| {
            let reason = stop_reason_name(result.stop_reason);
            let (run, session) = (event.run.as_str(), event.session.as_str());
            statement.execute(params![reason, event.sequence as i64, event.at_ms as i64, run, session])
        })
        .doing("record the end of a run")?;
    Ok(())
}

/// Oldest first.
pub(crate) fn of_session(connection: &Connection, session: &SessionId) -> Result<Vec<RunSummary>> {
    connection
        .prepare_cached(
            "SELECT id, agent, stop_reason, first_sequence, last_sequence, started_ms, finished_ms FROM runs
            WHERE session = ? ORDER BY first_sequence",
        )
        .and_then(|mut statement| statement.query_map([session.as_str()], summary)?.collect())
        .doing("list the runs of a session")
}

/// A reason that this version doesn't know reads as none.
pub(crate) fn stop_reason(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<StopReason>> {
    let name: Option<String> = row.get(index)?;
    Ok(name.and_then(|name| serde_json::from_value(Value::String(name)).ok()))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<RunSummary> {
    Ok(RunSummary {
        id: columns::id(row, 0, RunId::parse)?,
        agent: row.get(1)?,
        stop_reason: stop_reason(row, 2)?,
        first_sequence: columns::number(row, 3)?,
        last_sequence: columns::optional_number(row, 4)?,
        started_ms: columns::number(row, 5)?,
        finished_ms: columns::optional_number(row, 6)?,
    })
}

fn stop_reason_name(reason: StopReason) -> Option<String> {
    match serde_json::to_value(reason) {
        Ok(Value::String(name)) => Some(name),
        _ => None,
    }
}
