//! The table of events: rows in a chain of checksums, one chain per session.

use rusqlite::{Connection, Row, params};
use sandbar_protocol::{Error, ErrorKind, Event, EventBody, Result, RunId, SessionId, kill_point};
use sha2::{Digest as _, Sha256};

use crate::blobs::{self, BlobDigest};
use crate::effects::EffectRows;
use crate::error::{Doing as _, corrupt};
use crate::{runs, suspensions};

/// A body of more bytes than this is kept as a blob, so that scans of the table stay short.
const MAX_INLINE_BYTES: usize = 32 * 1024;

/// Half of a SHA-256: this finds damage, it doesn't keep out somebody who can write the file.
pub(crate) type Checksum = [u8; 16];

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
}

/// What the first row of a session is chained to: rows can't be moved between sessions.
pub(crate) fn seed(session: &SessionId) -> Checksum {
    half(Sha256::new_with_prefix("sandbar journal 1\0").chain_update(session.as_str()))
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
        EventBody::RunStarted { agent, .. } => runs::start(connection, event, agent)?,
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
    let column = |error: rusqlite::Error| error.to_string();
    let run: String = row.get(1).map_err(column)?;
    let name: String = row.get(2).map_err(column)?;
    let at_ms = row.get::<_, i64>(3).map_err(column)? as u64;
    let body: Option<String> = row.get(4).map_err(column)?;
    let blob: Option<Vec<u8>> = row.get(5).map_err(column)?;
    let written: Checksum = row.get(6).map_err(column)?;
    let content = match (&body, &blob) {
        (_, Some(digest)) => digest.as_slice(),
        (Some(body), None) => body.as_bytes(),
        (None, None) => return Err("it has no body".to_owned().into()),
    };
    if chain(previous, expected, at_ms, &run, &name, content) != written {
        return Err("its checksum doesn't fit its content and the event before it"
            .to_owned()
            .into());
    }
    let spilled = match &blob {
        None => None,
        Some(digest) => Some(
            blobs::get(connection, digest)
                .map_err(Trouble::Unreadable)?
                .ok_or_else(|| "the blob with its body is missing or damaged".to_owned())?,
        ),
    };
    let json = spilled
        .as_deref()
        .or(body.as_deref().map(str::as_bytes))
        .unwrap_or_default();
    let event = Event {
        session: session.clone(),
        sequence: expected,
        run: RunId::parse(&run).map_err(|error| error.message)?,
        at_ms,
        body: serde_json::from_slice(json).map_err(|error| format!("its body is no JSON: {error}"))?,
    };
    Ok((written, event))
}

fn check_sequence(row: &Row<'_>, expected: u64) -> Result<(), String> {
    match row.get::<_, i64>(0) {
        Ok(found) if found as u64 == expected => Ok(()),
        Ok(found) => Err(format!("it is missing; the next one found is {found}")),
        Err(error) => Err(error.to_string()),
    }
}

fn chain(previous: &Checksum, sequence: u64, at_ms: u64, run: &str, name: &str, content: &[u8]) -> Checksum {
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
