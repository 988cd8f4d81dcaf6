//! The baseline of the journal: one connection, the rows of the events and nothing else, a commit for each group.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::journal::{body, run_id, session_id};
use crate::measure::process_cpu;

/// The table of events as the store has it, without what it refers to.
const TABLE: &str = "
CREATE TABLE events (
    session TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    run TEXT NOT NULL,
    type TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    body TEXT,
    blob BLOB,
    checksum BLOB NOT NULL,
    PRIMARY KEY (session, sequence)
) WITHOUT ROWID, STRICT;
";

pub(crate) struct BareSqlite {
    connection: Connection,
    /// Session and run of each row of a group.
    ids: Vec<(String, String)>,
    written: u32,
    pub(crate) rounds: Vec<Duration>,
    /// Of each commit, with its statements.
    pub(crate) times: Vec<Duration>,
    pub(crate) cpu: Duration,
}

impl BareSqlite {
    pub(crate) fn open(directory: &Path, rows_per_commit: u32) -> anyhow::Result<Self> {
        let connection = Connection::open(directory.join("bare.db"))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.execute_batch(TABLE)?;
        let ids = |number| {
            (
                session_id(number).as_str().to_owned(),
                run_id(number).as_str().to_owned(),
            )
        };
        Ok(Self {
            connection,
            ids: (0..rows_per_commit).map(ids).collect(),
            written: 0,
            rounds: Vec::new(),
            times: Vec::new(),
            cpu: Duration::ZERO,
        })
    }

    /// Grows the log to the size at which it is written back and begun anew, as is done for the store.
    pub(crate) fn fill(&mut self, rows: u32) -> anyhow::Result<()> {
        let event = body(0);
        let json = serde_json::to_string(&event)?;
        Ok(self.commit(rows / u32::try_from(self.ids.len())?, event.name(), &json)?)
    }

    /// That many commits. What a row says is made ready before the clock starts.
    pub(crate) fn round(&mut self, commits: u32) -> anyhow::Result<()> {
        let mut round = Duration::ZERO;
        for _ in 0..commits {
            let event = body(self.written);
            let json = serde_json::to_string(&event)?;
            let (started, cpu) = (Instant::now(), process_cpu());
            self.commit(1, event.name(), &json)?;
            let took = started.elapsed();
            self.cpu += process_cpu() - cpu;
            self.times.push(took);
            round += took;
        }
        self.rounds.push(round);
        Ok(())
    }

    /// One transaction, with a row for each session or several.
    fn commit(&mut self, rows_each: u32, name: &str, json: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO events (session, sequence, run, type, at_ms, body, blob, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for _ in 0..rows_each {
            self.written += 1;
            for (session, run) in &self.ids {
                let (blob, checksum) = (None::<&[u8]>, [0x5a_u8; 16]);
                insert.execute(params![
                    session,
                    self.written,
                    run,
                    name,
                    1_790_000_000_000_i64,
                    json,
                    blob,
                    checksum
                ])?;
            }
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}
