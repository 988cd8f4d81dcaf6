//! The table of runs, derived from `run.started` and `run.finished`.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandbar_protocol::{
    Error, ErrorKind, Event, ParentRun, Result, RunId, RunResult, SessionId, StopReason, kill_point,
};
use serde_json::Value;

use crate::columns;
use crate::error::{Doing as _, run_finished};

/// A run without its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    pub id: RunId,
    pub session: SessionId,
    /// The run that gave it its task, if one did.
    pub parent: Option<RunId>,
    pub agent: String,
    /// None while it has not ended: it goes on, or its process died.
    pub stop_reason: Option<StopReason>,
    pub first_sequence: u64,
    pub last_sequence: Option<u64>,
    pub started_ms: u64,
    pub finished_ms: Option<u64>,
    /// Somebody wants it to end.
    pub cancel_asked: bool,
}

const COLUMNS: &str = "
    SELECT id, agent, stop_reason, first_sequence, last_sequence, started_ms, finished_ms, session, cancel_ms IS NOT NULL, parent
    FROM runs";

pub(crate) fn start(connection: &Connection, event: &Event, agent: &str, parent: Option<&ParentRun>) -> Result<()> {
    // A run that is resumed in its session goes on under its id; anywhere else the id is taken.
    let written = connection
        .prepare_cached(
            "INSERT INTO runs (id, session, parent, agent, state, first_sequence, started_ms)
            VALUES (?, ?, ?, ?, 'running', ?, ?)
            ON CONFLICT (id) DO UPDATE SET state = 'running', stop_reason = NULL, last_sequence = NULL,
            finished_ms = NULL WHERE session = excluded.session",
        )
        .and_then(|mut statement| {
            let (run, session) = (event.run.as_str(), event.session.as_str());
            let parent = parent.map(|parent| parent.run.as_str());
            statement.execute(params![
                run,
                session,
                parent,
                agent,
                event.sequence as i64,
                event.at_ms as i64
            ])
        })
        .doing("record the start of a run")?;
    kill_point("store.run.started");
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
    kill_point("store.run.finished");
    Ok(())
}

/// Oldest first.
pub(crate) fn of_session(connection: &Connection, session: &SessionId) -> Result<Vec<RunSummary>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE session = ? ORDER BY first_sequence"))
        .and_then(|mut statement| statement.query_map([session.as_str()], summary)?.collect())
        .doing("list the runs of a session")
}

pub(crate) fn find(connection: &Connection, id: &RunId) -> Result<Option<RunSummary>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE id = ?"))
        .and_then(|mut statement| statement.query_row([id.as_str()], summary).optional())
        .doing("read a run")
}

/// Those that have not ended: they go on somewhere, wait for an answer, or were cut off. Oldest first.
pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<RunSummary>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE state <> 'finished' ORDER BY started_ms, id"))
        .and_then(|mut statement| statement.query_map([], summary)?.collect())
        .doing("list the runs that have not ended")
}

/// The run under a delegation of this one that has no outcome yet.
pub(crate) fn open_child(connection: &Connection, run: &RunId) -> Result<Option<RunSummary>> {
    connection
        .prepare_cached(&format!(
            "{COLUMNS} WHERE id = (SELECT idempotency_key FROM effects
            WHERE run = ? AND kind = 'delegate' AND outcome IS NULL AND idempotency_key IS NOT NULL)"
        ))
        .and_then(|mut statement| statement.query_row([run.as_str()], summary).optional())
        .doing("look for a delegated run")
}

/// The one run of a session that has not ended.
pub(crate) fn unfinished_of(connection: &Connection, session: &SessionId) -> Result<Option<RunSummary>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE state <> 'finished' AND session = ?"))
        .and_then(|mut statement| statement.query_row([session.as_str()], summary).optional())
        .doing("look for a run that has not ended")
}

pub(crate) fn ask_to_cancel(connection: &Connection, id: &RunId, now_ms: u64) -> Result<()> {
    let run = find(connection, id)?.ok_or_else(|| not_found(id))?;
    if run.finished_ms.is_some() {
        return Err(run_finished(id));
    }
    connection
        .prepare_cached("UPDATE runs SET cancel_ms = coalesce(cancel_ms, ?) WHERE id = ?")
        .and_then(|mut statement| statement.execute(params![now_ms as i64, id.as_str()]))
        .doing("ask for a run to end")?;
    Ok(())
}

/// Those that somebody wants to end.
pub(crate) fn to_cancel(connection: &Connection) -> Result<Vec<RunId>> {
    connection
        .prepare_cached("SELECT id FROM runs WHERE state <> 'finished' AND cancel_ms IS NOT NULL")
        .and_then(|mut statement| {
            statement
                .query_map([], |row| columns::id(row, 0, RunId::parse))?
                .collect()
        })
        .doing("look for runs that should end")
}

pub(crate) fn not_found(id: &RunId) -> Error {
    Error::new(ErrorKind::NotFound, "run-not-found", format!("there is no run `{id}`"))
        .with_hint("`sandbar runs list` names those that have not ended, `sandbar sessions show` those of a session")
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
        session: columns::id(row, 7, SessionId::parse)?,
        cancel_asked: row.get(8)?,
        parent: columns::optional_id(row, 9, RunId::parse)?,
    })
}

fn stop_reason_name(reason: StopReason) -> Option<String> {
    match serde_json::to_value(reason) {
        Ok(Value::String(name)) => Some(name),
        _ => None,
    }
}
