//! The table of events: rows in a chain of checksums, one chain per session.

use rusqlite::{Connection, Row, params};
use sandbar_protocol::{Error, ErrorKind, Event, EventBody, Result, SessionId, kill_point};

use crate::blobs::{self, BlobDigest};
use crate::effects::EffectRows;
use crate::error::{Doing as _, corrupt};
use crate::event_row::{Checksum, EventRow, chain, seed};
use crate::{runs, suspensions};

/// A body of more bytes than this is kept as a blob, so that scans of the table stay short.
const MAX_INLINE_BYTES: usize = 32 * 1024;

/// A body as it is written.
#[derive(Debug)]
pub(crate) struct Body {
    json: String,
    /// Set where the body is kept as a blob.
    digest: Option<BlobDigest>,
}

/// A run of events, and the damage that ended it, if any.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<Event>,
    pub(crate) damage: Option<Error>,
}

impl Body {
    pub(crate) fn new(body: &EventBody) -> Result<Self> {
        let json = serde_json::to_string(body).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "bad-event",
                format!("an event `{}` has no JSON form", body.name()),
            )
            .with_hint("report this as a defect")
            .with_source(error)
        })?;
        let digest = (json.len() > MAX_INLINE_BYTES).then(|| blobs::digest(json.as_bytes()));
        Ok(Self { json, digest })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.json.len()
    }

    pub(crate) fn json(&self) -> &str {
        &self.json
    }
}

/// Writes one event and what is derived from it; `previous` is the checksum of the row before.
pub(crate) fn append<'a>(
    connection: &Connection,
    event: &'a Event,
    body: &Body,
    previous: &Checksum,
    effects: &mut EffectRows<'a>,
) -> Result<Checksum> {
    let name = event.body.name();
    let content = match &body.digest {
        Some(digest) => digest.as_slice(),
        None => body.json.as_bytes(),
    };
    let checksum = chain(previous, event.sequence, event.at_ms, event.run.as_str(), name, content);
    if let Some(digest) = &body.digest {
        blobs::put(connection, digest, body.json.as_bytes())?;
    }
    connection
        .prepare_cached(
            "INSERT INTO events (session, sequence, run, type, at_ms, body, blob, checksum)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                event.session.as_str(),
                event.sequence as i64,
                event.run.as_str(),
                name,
                event.at_ms as i64,
                body.digest.is_none().then_some(&body.json),
                body.digest,
                checksum,
            ])
        })
        .doing("write an event")?;
    kill_point("store.event.inserted");
    match &event.body {
        EventBody::RunStarted { agent, parent, .. } => runs::start(connection, event, agent, parent.as_ref())?,
        EventBody::RunFinished(result) => {
            runs::finish(connection, event, result)?;
            suspensions::close(connection, &event.run)?;
        }
        EventBody::Suspended(suspension) => suspensions::ask(connection, event, suspension)?,
        EventBody::Resumed {
            suspension: Some(id),
            answer,
            by,
        } => suspensions::resume(connection, id, answer.as_ref(), by.as_deref())?,
        _ => effects.derive(connection, event)?,
    }
    Ok(checksum)
}

/// Up to `limit` events after `after`, each checked against the one before.
pub(crate) fn page(connection: &Connection, session: &SessionId, after: u64, limit: usize) -> Result<Page> {
    let limit = i64::try_from(limit)
        .unwrap_or(i64::MAX)
        .saturating_add(i64::from(after > 0));
    let mut statement = connection
        .prepare_cached(
            "SELECT sequence, run, type, at_ms, body, blob, checksum FROM events
            WHERE session = ? AND sequence >= ? ORDER BY sequence LIMIT ?",
        )
        .doing("read events")?;
    // The row before the first wanted one is read for its checksum alone.
    let from = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = statement
        .query(params![session.as_str(), from, limit])
        .doing("read events")?;
    let mut chain = if after == 0 { Some(seed(session)) } else { None };
    let mut expected = after.max(1);
    let mut page = Page::default();
    while let Some(row) = rows.next().doing("read events")? {
        let read = match &chain {
            None => read_checksum(row, expected).map(|checksum| (checksum, None)),
            Some(previous) => {
                read_event(connection, row, session, expected, previous).map(|(sum, event)| (sum, Some(event)))
            }
        };
        match read {
            Ok((checksum, event)) => {
                chain = Some(checksum);
                page.events.extend(event);
                expected += 1;
            }
            Err(Trouble::Damaged(problem)) => {
                page.damage = Some(corrupt(session, expected, &problem));
                break;
            }
            Err(Trouble::Unreadable(error)) => {
                page.damage = Some(error);
                break;
            }
        }
    }
    Ok(page)
}

/// The checksum of the row that the next one is chained to.
pub(crate) fn tip(connection: &Connection, session: &SessionId, head: u64) -> Result<Checksum> {
    if head == 0 {
        return Ok(seed(session));
    }
    connection
        .prepare_cached("SELECT checksum FROM events WHERE session = ? AND sequence = ?")
        .and_then(|mut statement| statement.query_row(params![session.as_str(), head as i64], |row| row.get(0)))
        .or_else(|error| match error {
            // A disk that can't be read is not a row that is damaged.
            rusqlite::Error::SqliteFailure(..) => Err(error).doing("read the last event of a session"),
            _ => Err(corrupt(session, head, "the row is missing or has no checksum")),
        })
}

/// Why a row is not an event.
enum Trouble {
    /// It isn't what was written, in words.
    Damaged(String),
    /// What it points to could not be read now.
    Unreadable(Error),
}

impl From<String> for Trouble {
    fn from(problem: String) -> Self {
        Self::Damaged(problem)
    }
}

fn read_checksum(row: &Row<'_>, expected: u64) -> Result<Checksum, Trouble> {
    check_sequence(row, expected)?;
    row.get(6).map_err(|error| Trouble::Damaged(error.to_string()))
}

fn read_event(
    connection: &Connection,
    row: &Row<'_>,
    session: &SessionId,
    expected: u64,
    previous: &Checksum,
) -> Result<(Checksum, Event), Trouble> {
    check_sequence(row, expected)?;
    let row = read_row(row).map_err(|error| Trouble::Damaged(error.to_string()))?;
    row.check(expected, previous)?;
    let spilled = match &row.blob {
        None => None,
        Some(digest) => blobs::get(connection, digest).map_err(Trouble::Unreadable)?,
    };
    let event = row.event(session, expected, spilled.as_deref())?;
    Ok((row.checksum, event))
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        run: row.get(1)?,
        name: row.get(2)?,
        at_ms: row.get::<_, i64>(3)? as u64,
        body: row.get(4)?,
        blob: row.get(5)?,
        checksum: row.get(6)?,
    })
}

fn check_sequence(row: &Row<'_>, expected: u64) -> Result<(), String> {
    match row.get::<_, i64>(0) {
        Ok(found) if found as u64 == expected => Ok(()),
        Ok(found) => Err(format!("it is missing; the next one found is {found}")),
        Err(error) => Err(error.to_string()),
    }
}
