//! The table of the audit: what was done and who decided it, in one chain for the whole database.
//!
//! An entry that follows from an event is written in the event's transaction, so that there is never one without the other. The hash of
//! the entry before is read under the lock for writing, so that several processes continue one chain.

use rusqlite::{Connection, Row, params};
use sandbar_protocol::{
    Approval, AuditCommit, AuditDecision, AuditEntry, AuditSink, DecidedBy, Error, Event, EventBody, Result, RunId,
    SessionId, SuspensionKind, kill_point,
};

use crate::audit_chain::{AuditCheck, AuditHash, AuditRecord, AuditSpan, audit_damaged, columns_of};
use crate::columns;
use crate::error::Doing as _;
use crate::queue::{Change, Command};
use crate::store::Store;
use crate::suspensions;

/// The longest text of an entry, in bytes. A model may ask for a tool whose name is a book; an entry is no place to keep it.
const MAX_TEXT_BYTES: usize = 512;

/// How many entries are held at a time while all are checked.
const PAGE: usize = 1024;

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub session: Option<SessionId>,
    pub plugin: Option<String>,
    /// `tool.call`, or `tool` for all that begin with `tool.`.
    pub action: Option<String>,
    pub since_ms: Option<u64>,
}

impl Store {
    /// Takes entries without making anybody wait. What can't be written is told in the log.
    ///
    /// Nothing is lost when many come at once: they wait beside the events, and while there is no room for more, whoever appends an
    /// event waits. The calls of plugins, which cause entries, can't go on without that.
    pub fn audit_sink(&self) -> AuditSink {
        // Not the store itself: the last one to go waits for the writer, and a call that is torn down must not be the last one.
        let (writer, clock) = (self.writer(), self.shared_clock());
        std::sync::Arc::new(move |entry: AuditEntry| {
            let entry = Box::new(entry);
            let command = Command::Audit {
                at_ms: clock.now_ms(),
                room: writer
                    .queue
                    .reserve_now(std::mem::size_of::<AuditEntry>() + MAX_TEXT_BYTES),
                entry: entry.clone(),
            };
            if let Err(error) = writer.queue.push(command) {
                not_written(&entry, &error);
            }
        })
    }

    /// Takes entries, and is ready when all of them are committed, in one transaction, with whatever others wait for.
    pub fn audit_commit(&self) -> AuditCommit {
        // As above, not the store itself.
        let (writer, clock, on_disk) = (self.writer(), self.shared_clock(), self.directory().is_some());
        std::sync::Arc::new(move |entries: Vec<AuditEntry>| {
            let (writer, now_ms) = (writer.clone(), clock.now_ms());
            Box::pin(async move {
                let change = Change(Box::new(move |_| Ok(entries.clone())));
                writer
                    .ask(on_disk, |reply| Command::Change { change, now_ms, reply })
                    .await
            })
        })
    }

    /// Writes an entry, and waits until it is committed.
    pub async fn audit(&self, entry: AuditEntry) -> Result<()> {
        self.change_audited(move |_| Ok(vec![entry.clone()])).await
    }

    /// The newest entries that fit, oldest first.
    pub fn audit_entries(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRecord>> {
        self.readers().read(|connection| list(connection, filter, limit))
    }

    /// Shows every entry from a number on, oldest first, as it is in the table.
    pub fn each_audit_entry(&self, from: u64, mut see: impl FnMut(&AuditRecord) -> Result<()>) -> Result<()> {
        let mut next = from.max(1);
        loop {
            let page = self.readers().read(|connection| page(connection, next))?;
            page.iter().try_for_each(&mut see)?;
            match page.last() {
                Some(last) if page.len() == PAGE => next = last.id + 1,
                _ => return Ok(()),
            }
        }
    }

    /// Checks the whole chain. `head` is a hash that was the last one once.
    pub fn verify_audit(&self, head: Option<AuditHash>) -> Result<Option<AuditSpan>> {
        let mut check = AuditCheck::new(head);
        let mut begun = false;
        self.each_audit_entry(1, |record| {
            // A table begins with 1, where a part of a chain may begin anywhere.
            if !std::mem::replace(&mut begun, true) && record.id != 1 {
                let found = format!("it is missing; the next one found is {}", record.id);
                return Err(audit_damaged(check.next(), &found));
            }
            check.take(record)
        })?;
        check.finish()
    }
}

/// Entries on their way into the table, in one transaction.
#[derive(Debug, Default)]
pub(crate) struct AuditRows {
    /// None before the first look at the table.
    last: Option<Option<(u64, AuditHash)>>,
}

impl AuditRows {
    pub(crate) fn append(&mut self, connection: &Connection, at_ms: u64, mut entry: AuditEntry) -> Result<()> {
        shorten(&mut entry);
        let last = match self.last {
            Some(last) => last,
            None => last(connection)?,
        };
        let record = AuditRecord::after(last, at_ms, entry);
        insert(connection, &record)?;
        self.last = Some(Some((record.id, record.hash)));
        Ok(())
    }

    /// What follows from an event, if anything does. `by` is who decided on what it begins.
    pub(crate) fn derive(&mut self, connection: &Connection, event: &Event, by: &DecidedBy) -> Result<()> {
        match entry_of(connection, event, by)? {
            Some(entry) => {
                let entry = AuditEntry {
                    session: Some(event.session.clone()),
                    run: Some(event.run.clone()),
                    ..entry
                };
                self.append(connection, event.at_ms, entry)
            }
            None => Ok(()),
        }
    }
}

/// An entry that is not in the table is at least in the log.
pub(crate) fn not_written(entry: &AuditEntry, error: &Error) {
    let (action, target, decision) = (&entry.action, &entry.target, entry.decision.as_str());
    tracing::error!(%action, %target, decision, plugin = entry.plugin, %error, "an entry of the audit could not be written");
}

fn entry_of(connection: &Connection, event: &Event, by: &DecidedBy) -> Result<Option<AuditEntry>> {
    let decision = |denied: bool| match denied {
        true => AuditDecision::Denied,
        false => AuditDecision::Allowed,
    };
    Ok(match &event.body {
        EventBody::ModelStarted { model, .. } => Some(AuditEntry::of("model.call", model)),
        EventBody::ToolStarted {
            name,
            argument_digest,
            refused,
            ..
        } => Some(AuditEntry {
            plugin: plugin_of(name),
            digest: Some(argument_digest.clone()),
            decision: decision(*refused),
            by: by.clone(),
            ..AuditEntry::of("tool.call", name)
        }),
        EventBody::DelegateStarted { agent, child, .. } => Some(AuditEntry {
            decision: decision(child.is_none()),
            ..AuditEntry::of("agent.delegate", agent)
        }),
        EventBody::MemoryStarted {
            plugin,
            op,
            input_digest,
            ..
        } => Some(AuditEntry {
            plugin: Some(plugin.clone()),
            digest: Some(input_digest.clone()),
            ..AuditEntry::of(&format!("memory.{}", op.as_str()), plugin)
        }),
        EventBody::Resumed {
            suspension: Some(id),
            answer: Some(value),
            by: Some(name),
        } => {
            let Some(found) = suspensions::find(connection, id)? else {
                return Ok(None);
            };
            let asked = found.suspension;
            let answer = sandbar_protocol::Answer {
                value: value.clone(),
                by: name.clone(),
            };
            let denied =
                asked.kind == SuspensionKind::Approval && matches!(answer.decision(), Some(Approval::Deny) | None);
            let tool = asked.call.map(|call| call.tool);
            Some(AuditEntry {
                plugin: tool.as_deref().and_then(plugin_of),
                decision: decision(denied),
                by: DecidedBy::of_answer(name),
                ..AuditEntry::of(
                    &format!("answer.{}", asked.kind.as_str()),
                    tool.as_deref().unwrap_or(id.as_str()),
                )
            })
        }
        _ => None,
    })
}

/// The plugin of a tool, by the tool's whole name.
pub(crate) fn plugin_of(tool: &str) -> Option<String> {
    tool.split_once("__").map(|(plugin, _)| plugin.to_owned())
}

fn shorten(entry: &mut AuditEntry) {
    let cut = |text: &mut String| text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    cut(&mut entry.action);
    cut(&mut entry.target);
    entry.plugin.as_mut().map(cut);
    entry.digest.as_mut().map(cut);
    match &mut entry.by {
        DecidedBy::Person(name) | DecidedBy::Rule(name) => cut(name),
        DecidedBy::Default => {}
    }
}

fn last(connection: &Connection) -> Result<Option<(u64, AuditHash)>> {
    connection
        .prepare_cached("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")
        .and_then(|mut statement| {
            let mut rows = statement.query([])?;
            let row = rows.next()?;
            row.map(|row| Ok((columns::number(row, 0)?, AuditHash(row.get(1)?))))
                .transpose()
        })
        .doing("read the last entry of the audit")
}

fn insert(connection: &Connection, record: &AuditRecord) -> Result<()> {
    let entry = &record.entry;
    let (kind, name) = columns_of(&entry.by);
    connection
        .prepare_cached(
            "INSERT INTO audit (id, at_ms, session, run, plugin, action, target, digest, decision, by_kind, by_name, previous, hash)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                record.id as i64,
                record.at_ms as i64,
                entry.session.as_ref().map(SessionId::as_str),
                entry.run.as_ref().map(RunId::as_str),
                entry.plugin,
                entry.action,
                entry.target,
                entry.digest,
                entry.decision.as_str(),
                kind,
                name,
                record.previous.0,
                record.hash.0,
            ])
        })
        .doing("write an entry of the audit")?;
    kill_point("store.audit.inserted");
    Ok(())
}

const COLUMNS: &str =
    "SELECT id, at_ms, session, run, plugin, action, target, digest, decision, by_kind, by_name, previous, hash
    FROM audit";

fn list(connection: &Connection, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRecord>> {
    let mut statement = connection
        .prepare_cached(&format!(
            "{COLUMNS} WHERE (?1 IS NULL OR session = ?1) AND (?2 IS NULL OR plugin = ?2)
            AND (?3 IS NULL OR action = ?3 OR substr(action, 1, length(?3) + 1) = ?3 || '.')
            AND at_ms >= ?4 ORDER BY id DESC LIMIT ?5"
        ))
        .doing("list the audit")?;
    let since = i64::try_from(filter.since_ms.unwrap_or(0)).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let session = filter.session.as_ref().map(SessionId::as_str);
    let rows = statement
        .query(params![session, filter.plugin, filter.action, since, limit])
        .doing("list the audit")?;
    let mut entries = records(rows)?;
    entries.reverse();
    Ok(entries)
}

fn page(connection: &Connection, from: u64) -> Result<Vec<AuditRecord>> {
    let mut statement = connection
        .prepare_cached(&format!("{COLUMNS} WHERE id >= ? ORDER BY id LIMIT ?"))
        .doing("read the audit")?;
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let rows = statement.query(params![from, PAGE as i64]).doing("read the audit")?;
    records(rows)
}

fn records(mut rows: rusqlite::Rows<'_>) -> Result<Vec<AuditRecord>> {
    let mut records = Vec::new();
    while let Some(row) = rows.next().doing("read the audit")? {
        let id = row.get::<_, i64>(0).unwrap_or_default();
        // A row that is no entry is one that was changed.
        records.push(record(row).map_err(|problem| audit_damaged(id as u64, &problem))?);
    }
    Ok(records)
}

fn record(row: &Row<'_>) -> Result<AuditRecord, String> {
    read(row).map_err(|error| error.to_string())?
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<AuditRecord, String>> {
    let decision: String = row.get(8)?;
    let decisions = [AuditDecision::Allowed, AuditDecision::Denied, AuditDecision::Redacted];
    let Some(decision) = decisions.into_iter().find(|known| known.as_str() == decision) else {
        return Ok(Err(format!("`{}` is no decision", decision.escape_debug())));
    };
    let (kind, name): (String, Option<String>) = (row.get(9)?, row.get(10)?);
    let by = match (kind.as_str(), name) {
        ("person", Some(name)) => DecidedBy::Person(name),
        ("rule", Some(line)) => DecidedBy::Rule(line),
        ("default", None) => DecidedBy::Default,
        _ => return Ok(Err("it doesn't say who decided".to_owned())),
    };
    Ok(Ok(AuditRecord {
        id: columns::number(row, 0)?,
        at_ms: columns::number(row, 1)?,
        entry: AuditEntry {
            session: columns::optional_id(row, 2, SessionId::parse)?,
            run: columns::optional_id(row, 3, RunId::parse)?,
            plugin: row.get(4)?,
            action: row.get(5)?,
            target: row.get(6)?,
            digest: row.get(7)?,
            decision,
            by,
        },
        previous: AuditHash(row.get(11)?),
        hash: AuditHash(row.get(12)?),
    }))
}
