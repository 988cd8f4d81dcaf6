//! The tables, and how a database of an older version gets them.

use rusqlite::{Connection, TransactionBehavior};
use sandbar_protocol::{Error, ErrorKind, Result};

use crate::error::Doing as _;

/// Step `n` brings a database from version `n` to `n + 1`. A released step is never edited: a change is a new step.
const STEPS: &[&str] = &[FIRST, SUSPENSIONS, KEY_VALUES, AUDIT, AUTHORITY];

const FIRST: &str = "
CREATE TABLE workspaces (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    workspace TEXT REFERENCES workspaces (id),
    -- A fork has its parent's events up to and including this one; its own rows begin after it.
    parent TEXT REFERENCES sessions (id),
    parent_sequence INTEGER,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    head INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX sessions_by_time ON sessions (updated_ms, id);
CREATE INDEX sessions_by_parent ON sessions (parent) WHERE parent IS NOT NULL;

CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (id),
    parent TEXT REFERENCES runs (id),
    agent TEXT NOT NULL,
    state TEXT NOT NULL,
    stop_reason TEXT,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER
) WITHOUT ROWID, STRICT;
CREATE INDEX runs_by_session ON runs (session, first_sequence);

CREATE TABLE blobs (
    digest BLOB PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE events (
    session TEXT NOT NULL REFERENCES sessions (id),
    sequence INTEGER NOT NULL,
    run TEXT NOT NULL,
    type TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    -- The body as JSON, or the digest of the blob that holds it.
    body TEXT,
    blob BLOB REFERENCES blobs (digest),
    checksum BLOB NOT NULL,
    PRIMARY KEY (session, sequence)
) WITHOUT ROWID, STRICT;

CREATE TABLE effects (
    run TEXT NOT NULL,
    id TEXT NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id),
    parent TEXT,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    idempotency_key TEXT,
    argument_digest TEXT,
    idempotent INTEGER NOT NULL,
    intent_sequence INTEGER NOT NULL,
    outcome TEXT,
    outcome_sequence INTEGER,
    PRIMARY KEY (run, id)
) WITHOUT ROWID, STRICT;

CREATE TABLE leases (
    session TEXT PRIMARY KEY REFERENCES sessions (id),
    -- Null while nobody writes; the row stays, so that the fence only grows.
    process TEXT,
    fence INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
";

const SUSPENSIONS: &str = "
CREATE TABLE suspensions (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (id),
    run TEXT NOT NULL,
    -- What is asked, as JSON.
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    answer TEXT,
    answered_by TEXT
) WITHOUT ROWID, STRICT;
CREATE INDEX suspensions_by_state ON suspensions (state) WHERE state IN ('open', 'answered');
CREATE INDEX suspensions_by_run ON suspensions (run);

CREATE TABLE approvals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tool TEXT NOT NULL,
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    place TEXT NOT NULL,
    decider TEXT NOT NULL,
    approved_ms INTEGER NOT NULL,
    UNIQUE (tool, digest, kind, place)
) STRICT;

-- Asked for from anywhere; the process that has the session obeys.
ALTER TABLE runs ADD COLUMN cancel_ms INTEGER;
CREATE INDEX runs_unfinished ON runs (session) WHERE state <> 'finished';
";

const KEY_VALUES: &str = "
CREATE TABLE key_values (
    plugin TEXT NOT NULL,
    -- 'session' with its id as the place, or 'shared'.
    scope TEXT NOT NULL,
    place TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (plugin, scope, place, key)
) STRICT;

-- What each space has used, so that a write needn't add up the space.
CREATE TABLE key_value_spaces (
    plugin TEXT NOT NULL,
    scope TEXT NOT NULL,
    place TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (plugin, scope, place)
) WITHOUT ROWID, STRICT;
";

const AUDIT: &str = "
CREATE TABLE audit (
    -- Without a gap: the order of the chain.
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    session TEXT,
    run TEXT,
    plugin TEXT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    digest TEXT,
    decision TEXT NOT NULL,
    by_kind TEXT NOT NULL,
    by_name TEXT,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE TABLE plugin_health (
    plugin TEXT NOT NULL,
    digest TEXT NOT NULL,
    in_a_row INTEGER NOT NULL,
    -- Times of failures, as JSON.
    lately TEXT NOT NULL,
    reason TEXT NOT NULL,
    put_aside_ms INTEGER,
    PRIMARY KEY (plugin, digest)
) WITHOUT ROWID, STRICT;
";

/// Nobody knows what the person was told who gave an approval before: they are asked again.
const AUTHORITY: &str = "
DELETE FROM approvals;
-- As JSON, what the tool could do; null for a tool of the embedding program.
ALTER TABLE approvals ADD COLUMN authority TEXT NOT NULL DEFAULT 'null';
";

/// Refuses a database that a newer Sandbar has written, before anything in it is touched.
pub(crate) fn refuse_newer(connection: &Connection) -> Result<()> {
    let found = version(connection)?;
    if found > STEPS.len() {
        return Err(Error::new(
            ErrorKind::Storage,
            "journal-newer",
            format!(
                "the journal has version {found}, and this Sandbar knows versions up to {}",
                STEPS.len()
            ),
        )
        .with_hint("use the newer Sandbar that wrote it, or another data directory; nothing was changed"));
    }
    Ok(())
}

/// Brings the database to this version. The version is read inside the transaction, so that two processes can't both do it.
pub(crate) fn migrate(connection: &mut Connection) -> Result<()> {
    if version(connection)? == STEPS.len() {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing("begin to set up the journal")?;
    let found = version(&transaction)?;
    for step in STEPS.iter().skip(found) {
        transaction.execute_batch(step).doing("set up the journal")?;
    }
    transaction
        .pragma_update(None, "user_version", STEPS.len() as u32)
        .doing("set the journal's version")?;
    transaction.commit().doing("commit the set-up of the journal")
}

fn version(connection: &Connection) -> Result<usize> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
        .map(|version| version as usize)
        .doing("read the journal's version")
}
