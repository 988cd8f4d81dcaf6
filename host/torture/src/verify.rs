//! Holds a data directory, as a crash has left it, against what was acknowledged.

use std::path::Path;

use futures::executor::block_on;
use rusqlite::Connection;
use sandbar_protocol::{Event, SessionId};
use sandbar_store::{NewSession, Store, StoreOptions};

use crate::chance::Chance;
use crate::derived::Derived;
use crate::ledger::{Ledger, Promised};
use crate::script::Script;

/// What is wrong. The default is: nothing.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) does_not_open: bool,
    /// Acknowledged events that are not there, or not what was acknowledged.
    pub(crate) lost: u64,
    /// Everything that is wrong, in words.
    pub(crate) problems: Vec<String>,
}

/// Rows that only damage, or half of a transaction, can leave. Each asks for their number.
const STRAYS: [(&str, &str); 7] = [
    (
        "events without their blob",
        "SELECT count(*) FROM events WHERE blob IS NOT NULL AND blob NOT IN (SELECT digest FROM blobs)",
    ),
    (
        "blobs without an event",
        "SELECT count(*) FROM blobs WHERE digest NOT IN (SELECT blob FROM events WHERE blob IS NOT NULL)",
    ),
    (
        "events beyond the head of their session",
        "SELECT count(*) FROM events JOIN sessions ON sessions.id = session WHERE sequence > head",
    ),
    (
        "sessions whose head is not the number of their events",
        "SELECT count(*) FROM sessions WHERE head <> (SELECT count(*) FROM events WHERE session = sessions.id)",
    ),
    (
        "runs whose first event is missing",
        "SELECT count(*) FROM runs WHERE NOT EXISTS (SELECT * FROM events
         WHERE session = runs.session AND sequence = first_sequence AND run = runs.id)",
    ),
    (
        "effects whose intent is missing",
        "SELECT count(*) FROM effects WHERE NOT EXISTS (SELECT * FROM events
         WHERE session = effects.session AND sequence = intent_sequence AND run = effects.run)",
    ),
    (
        "leases without a session",
        "SELECT count(*) FROM leases WHERE session NOT IN (SELECT id FROM sessions)",
    ),
];

impl Findings {
    pub(crate) fn are_none(&self) -> bool {
        !self.does_not_open && self.lost == 0 && self.problems.is_empty()
    }

    fn say(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }
}

/// Opens the journal as the next process would, and looks at everything in it; then works with it.
pub(crate) fn check(directory: &Path, ledger: &Ledger) -> Findings {
    let mut findings = Findings::default();
    let store = match Store::open(directory, StoreOptions::default()) {
        Ok(store) => store,
        Err(error) => {
            findings.does_not_open = true;
            findings.lost = ledger.acknowledged();
            findings.say(format!("the journal doesn't open: {error:?}"));
            return findings;
        }
    };
    check_promises(&store, ledger, &mut findings);
    if let Err(error) = check_database(directory, &mut findings) {
        findings.say(format!("the database can't be read: {error}"));
    }
    if let Err(error) = go_on(&store, ledger) {
        findings.say(format!("the journal can't be continued: {error:?}"));
    }
    findings
}

/// Everything that the store shows is what was sent, and everything acknowledged is shown.
pub(crate) fn check_promises(store: &Store, ledger: &Ledger, findings: &mut Findings) {
    for workspace in &ledger.workspaces {
        if !matches!(store.workspace(workspace), Ok(Some(_))) {
            findings.say(format!("the workspace `{workspace}` is not there"));
        }
    }
    for (session, promised) in &ledger.sessions {
        check_session(store, session, promised, findings);
    }
    match store.sessions(usize::MAX, None) {
        Ok(sessions) => {
            for found in sessions.iter().filter(|found| !ledger.sessions.contains_key(&found.id)) {
                findings.say(format!("nobody made the session `{}`", found.id));
            }
        }
        Err(error) => findings.say(format!("the sessions can't be listed: {error:?}")),
    }
}

fn check_session(store: &Store, session: &SessionId, promised: &Promised, findings: &mut Findings) {
    let summary = match store.session(session) {
        Ok(Some(summary)) => summary,
        Ok(None) => {
            if promised.made {
                findings.lost += promised.acknowledged as u64;
                findings.say(format!("the session `{session}` is not there"));
            }
            return;
        }
        Err(error) => return findings.say(format!("the session `{session}` can't be read: {error:?}")),
    };
    let events = match store.events(session, 0, usize::MAX) {
        Ok(events) => events,
        Err(error) => {
            findings.lost += promised.acknowledged as u64;
            return findings.say(format!("the events of `{session}` can't be read: {error:?}"));
        }
    };
    if summary.events != events.len() as u64 {
        findings.say(format!(
            "`{session}` says {} events and has {}",
            summary.events,
            events.len()
        ));
    }
    compare(session, &events, promised, findings);
    let tables: sandbar_protocol::Result<Vec<_>> = store.runs(session).and_then(|runs| {
        let with_effects = |run: sandbar_store::RunSummary| store.effects(&run.id).map(|effects| (run, effects));
        runs.into_iter().map(with_effects).collect()
    });
    match tables {
        Ok(tables) if Derived::from_tables(tables.clone()) == Derived::from_events(&events) => {}
        Ok(_) => findings.say(format!(
            "the runs and effects of `{session}` don't agree with its events"
        )),
        Err(error) => findings.say(format!("the runs of `{session}` can't be read: {error:?}")),
    }
}

/// The store has checked that the events are gapless from 1 and that the chain of checksums holds.
fn compare(session: &SessionId, events: &[Event], promised: &Promised, findings: &mut Findings) {
    let missing = promised.acknowledged.saturating_sub(events.len());
    if missing > 0 {
        findings.lost += missing as u64;
        findings.say(format!("`{session}` lacks its last {missing} acknowledged events"));
    }
    if events.len() > promised.sent.len() {
        findings.say(format!(
            "`{session}` has {} events; {} were sent",
            events.len(),
            promised.sent.len()
        ));
    }
    for (index, (event, sent)) in events.iter().zip(&promised.sent).enumerate() {
        let shown = promised.shown.get(&event.sequence);
        if event.run != sent.run || event.body != sent.body || shown.is_some_and(|shown| **shown != *event) {
            findings.lost += u64::from(index < promised.acknowledged);
            findings.say(format!("event {} of `{session}` is not what was sent", event.sequence));
        }
    }
}

fn check_database(directory: &Path, findings: &mut Findings) -> rusqlite::Result<()> {
    let connection = Connection::open(directory.join("sandbar.db"))?;
    let integrity: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if integrity != "ok" {
        findings.say(format!("integrity_check says: {integrity}"));
    }
    if connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
        findings.say("foreign_key_check finds rows that point nowhere");
    }
    for (what, count) in STRAYS {
        let count: i64 = connection.query_row(count, [], |row| row.get(0))?;
        if count > 0 {
            findings.say(format!("there are {count} {what}"));
        }
    }
    Ok(())
}

/// A new session, and one that is there, take further events.
fn go_on(store: &Store, ledger: &Ledger) -> sandbar_protocol::Result<()> {
    let new = NewSession {
        id: SessionId::parse("afterwards")?,
        agent: "writer".to_owned(),
        workspace: None,
    };
    let mut sessions = vec![new.id.clone()];
    block_on(store.create_session(new))?;
    sessions.extend(
        ledger
            .sessions
            .iter()
            .find(|(_, promised)| promised.made)
            .map(|(id, _)| id.clone()),
    );
    for session in sessions {
        if store.session(&session)?.is_none() {
            // It is lost, which was found before.
            continue;
        }
        let writer = block_on(store.write_session(&session))?;
        let (run, body) = Script::new(&session, 1_000_000).next(&mut Chance::new(1), 0);
        let sequence = block_on(writer.append(&run, body))?.sequence;
        block_on(writer.flush())?;
        store.events(&session, sequence - 1, 1)?;
    }
    Ok(())
}
