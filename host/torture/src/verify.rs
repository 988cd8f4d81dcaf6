//! Holds a data directory, as a crash has left it, against what was acknowledged.

use std::path::Path;

use futures::executor::block_on;
use rusqlite::Connection;
use sandbar_protocol::{Event, EventBody, SessionId};
use sandbar_store::{AuditFilter, NewSession, Store, StoreOptions};

use crate::chance::Chance;
use crate::derived::Derived;
use crate::ledger::{Ledger, Promised};
use crate::script::Script;

/// What is wrong. The default is: nothing.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) does_not_open: bool,
    /// Acknowledged events and rows that are not there, or not what was acknowledged.
    pub(crate) lost: u64,
    /// Everything that is wrong, in words.
    pub(crate) problems: Vec<String>,
}

/// Rows that only damage, or half of a transaction, can leave. Each asks for their number.
const STRAYS: [(&str, &str); 10] = [
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
    (
        "questions of no run",
        "SELECT count(*) FROM suspensions WHERE NOT EXISTS (SELECT * FROM runs
         WHERE runs.id = suspensions.run AND runs.session = suspensions.session)",
    ),
    (
        "values in no space",
        "SELECT count(*) FROM key_values AS kept WHERE NOT EXISTS (SELECT * FROM key_value_spaces AS space
         WHERE space.plugin = kept.plugin AND space.scope = kept.scope AND space.place = kept.place)",
    ),
    (
        "spaces whose bytes are not those of their values",
        "SELECT count(*) FROM key_value_spaces AS space WHERE bytes <> (SELECT coalesce(sum(64 + length(key) + length(value)), 0)
         FROM key_values AS kept WHERE kept.plugin = space.plugin AND kept.scope = space.scope AND kept.place = space.place)",
    ),
];

impl Findings {
    pub(crate) fn are_none(&self) -> bool {
        !self.does_not_open && self.lost == 0 && self.problems.is_empty()
    }

    pub(crate) fn say(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Says it of something that was acknowledged.
    pub(crate) fn lose(&mut self, problem: impl Into<String>) {
        self.lost += 1;
        self.say(problem);
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
    if let Err(error) = ledger.beside.check(store, findings) {
        findings.say(format!("the rows beside the events can't be read: {error:?}"));
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
        let tables = |run: sandbar_store::RunSummary| {
            let (effects, suspensions) = (store.effects(&run.id)?, store.suspensions(&run.id)?);
            Ok((run, effects, suspensions))
        };
        runs.into_iter().map(tables).collect()
    });
    match tables {
        Ok(tables) if Derived::from_tables(tables.clone()) == Derived::from_events(&events) => {}
        Ok(_) => findings.say(format!(
            "the runs, effects and questions of `{session}` don't agree with its events"
        )),
        Err(error) => findings.say(format!("the runs of `{session}` can't be read: {error:?}")),
    }
    check_audit(store, session, &events, findings);
}

/// What the audit has of a session follows from its events, in their order.
fn check_audit(store: &Store, session: &SessionId, events: &[Event], findings: &mut Findings) {
    let wanted: Vec<&str> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::ModelStarted { .. } => Some("model.call"),
            EventBody::ToolStarted { .. } => Some("tool.call"),
            EventBody::Resumed {
                suspension: Some(_), ..
            } => Some("answer.question"),
            _ => None,
        })
        .collect();
    let filter = AuditFilter {
        session: Some(session.clone()),
        ..AuditFilter::default()
    };
    match store.audit_entries(&filter, usize::MAX) {
        Ok(found)
            if found
                .iter()
                .map(|record| record.entry.action.as_str())
                .eq(wanted.iter().copied()) => {}
        Ok(found) => findings.say(format!(
            "the audit has {} entries of `{session}`, or others than its {} events have",
            found.len(),
            wanted.len()
        )),
        Err(error) => findings.say(format!("the audit of `{session}` can't be read: {error:?}")),
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
