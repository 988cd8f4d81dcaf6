//! The table of suspensions: what runs wait for. A row is made and closed by events; its answer comes from anywhere, once.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandbar_protocol::{
    Answer, Error, ErrorKind, Event, Result, RunId, SessionId, Suspension, SuspensionId, kill_point,
};
use serde_json::Value;

use crate::columns;
use crate::error::{Doing as _, suspension_not_found};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspensionState {
    /// Nobody has answered.
    Open,
    /// Somebody has, and the run has not gone on yet.
    Answered,
    /// The run has gone on with the answer.
    Resumed,
    /// The run ended without one.
    Closed,
}

/// A suspension and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SuspensionSummary {
    pub suspension: Suspension,
    pub session: SessionId,
    pub run: RunId,
    pub asked_ms: u64,
    pub state: SuspensionState,
    pub answer: Option<Answer>,
}

const COLUMNS: &str = "SELECT body, session, run, asked_ms, state, answer, answered_by FROM suspensions";

pub(crate) fn ask(connection: &Connection, event: &Event, suspension: &Suspension) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO suspensions (id, session, run, body, state, asked_ms, expires_ms) VALUES (?, ?, ?, ?, 'open', ?, ?)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                suspension.id.as_str(),
                event.session.as_str(),
                event.run.as_str(),
                serde_json::to_string(suspension).unwrap_or_default(),
                event.at_ms as i64,
                i64::try_from(suspension.expires_ms).unwrap_or(i64::MAX),
            ])
        })
        .doing("record a suspension")?;
    kill_point("store.suspension.asked");
    Ok(())
}

pub(crate) fn resume(
    connection: &Connection,
    id: &SuspensionId,
    answer: Option<&Value>,
    by: Option<&str>,
) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE suspensions SET state = 'resumed', answer = coalesce(?, answer), answered_by = coalesce(?, answered_by)
            WHERE id = ?",
        )
        .and_then(|mut statement| statement.execute(params![answer.map(Value::to_string), by, id.as_str()]))
        .doing("record that a run goes on")?;
    kill_point("store.suspension.resumed");
    Ok(())
}

/// The run has ended: what it still waited for is answered by nobody.
pub(crate) fn close(connection: &Connection, run: &RunId) -> Result<()> {
    connection
        .prepare_cached("UPDATE suspensions SET state = 'closed' WHERE run = ? AND state IN ('open', 'answered')")
        .and_then(|mut statement| statement.execute([run.as_str()]))
        .doing("close the suspensions of a run")?;
    kill_point("store.suspension.closed");
    Ok(())
}

/// The first answer counts.
pub(crate) fn answer(connection: &Connection, id: &SuspensionId, answer: &Answer, now_ms: u64) -> Result<()> {
    let found = find(connection, id)?.ok_or_else(|| suspension_not_found(id))?;
    match found.state {
        SuspensionState::Open => {}
        SuspensionState::Answered | SuspensionState::Resumed => {
            let by = found.answer.map_or_else(|| "somebody".to_owned(), |answer| answer.by);
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "already-answered",
                format!("`{id}` was answered already, by `{by}`"),
            )
            .with_hint("the first answer counts; `sandbar runs show` says what became of it"));
        }
        SuspensionState::Closed => {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "run-finished",
                format!("the run that asked `{id}` has ended"),
            )
            .with_hint("start a new run of the session"));
        }
    }
    if found.suspension.expires_ms <= now_ms {
        return Err(expired(id));
    }
    connection
        .prepare_cached("UPDATE suspensions SET state = 'answered', answer = ?, answered_by = ? WHERE id = ?")
        .and_then(|mut statement| statement.execute(params![answer.value.to_string(), answer.by, id.as_str()]))
        .doing("record an answer")?;
    kill_point("store.suspension.answered");
    Ok(())
}

pub(crate) fn find(connection: &Connection, id: &SuspensionId) -> Result<Option<SuspensionSummary>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE id = ?"))
        .and_then(|mut statement| statement.query_row([id.as_str()], summary).optional())
        .doing("read a suspension")
}

/// Those that wait for an answer, oldest first.
pub(crate) fn open(connection: &Connection) -> Result<Vec<SuspensionSummary>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE state = 'open' ORDER BY asked_ms, id"))
        .and_then(|mut statement| statement.query_map([], summary)?.collect())
        .doing("list the suspensions")
}

/// Oldest first.
pub(crate) fn of_run(connection: &Connection, run: &RunId) -> Result<Vec<SuspensionSummary>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE run = ? ORDER BY asked_ms, id"))
        .and_then(|mut statement| statement.query_map([run.as_str()], summary)?.collect())
        .doing("list the suspensions of a run")
}

/// Those that were answered and whose runs have not gone on.
pub(crate) fn answered(connection: &Connection) -> Result<Vec<SuspensionId>> {
    connection
        .prepare_cached("SELECT id FROM suspensions WHERE state = 'answered'")
        .and_then(|mut statement| {
            statement
                .query_map([], |row| columns::id(row, 0, SuspensionId::parse))?
                .collect()
        })
        .doing("look for answers")
}

pub(crate) fn expired(id: &SuspensionId) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "suspension-expired",
        format!("`{id}` has expired: nobody answered it in time"),
    )
    .with_hint("its run has ended or ends when it is looked at again; start a new one")
}

fn summary(row: &Row<'_>) -> rusqlite::Result<SuspensionSummary> {
    let answer: Option<String> = row.get(5)?;
    let by: Option<String> = row.get(6)?;
    Ok(SuspensionSummary {
        suspension: serde_json::from_str(&row.get::<_, String>(0)?).map_err(bad_json(0))?,
        session: columns::id(row, 1, SessionId::parse)?,
        run: columns::id(row, 2, RunId::parse)?,
        asked_ms: columns::number(row, 3)?,
        state: match row.get::<_, String>(4)?.as_str() {
            "open" => SuspensionState::Open,
            "answered" => SuspensionState::Answered,
            "resumed" => SuspensionState::Resumed,
            _ => SuspensionState::Closed,
        },
        answer: match answer {
            Some(value) => Some(Answer {
                value: serde_json::from_str(&value).map_err(bad_json(5))?,
                by: by.unwrap_or_default(),
            }),
            None => None,
        },
    })
}

fn bad_json(index: usize) -> impl Fn(serde_json::Error) -> rusqlite::Error {
    move |error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
}
