//! The table of standing approvals: what a person allowed for more than one call.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandbar_protocol::{AuditEntry, DecidedBy, Error, ErrorKind, Result, SessionId, WorkspaceId, kill_point};

use crate::audit::plugin_of;
use crate::columns;
use crate::error::Doing as _;

/// A tool that may be called without asking, and where. It names the component by its digest: another file asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApproval {
    /// `<plugin>__<tool>`.
    pub tool: String,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    pub place: ApprovalPlace,
    /// Who said so.
    pub by: String,
}

/// How far an approval reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalPlace {
    Session(SessionId),
    Workspace(WorkspaceId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingApproval {
    /// Names it for revoking.
    pub id: u64,
    pub tool: String,
    pub digest: String,
    pub place: ApprovalPlace,
    pub by: String,
    pub approved_ms: u64,
}

pub(crate) fn insert(connection: &Connection, new: &NewApproval, now_ms: u64) -> Result<Vec<AuditEntry>> {
    let (kind, place) = new.place.columns();
    connection
        .prepare_cached(
            "INSERT INTO approvals (tool, digest, kind, place, decider, approved_ms) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (tool, digest, kind, place) DO NOTHING",
        )
        .and_then(|mut statement| statement.execute(params![new.tool, new.digest, kind, place, new.by, now_ms as i64]))
        .doing("record an approval")?;
    kill_point("store.approval.inserted");
    Ok(vec![entry(
        "approval.give",
        &new.tool,
        &new.digest,
        &new.place,
        &new.by,
    )])
}

pub(crate) fn holds(
    connection: &Connection,
    tool: &str,
    digest: &str,
    session: &SessionId,
    workspace: Option<&WorkspaceId>,
) -> Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT decider FROM approvals WHERE tool = ?1 AND digest = ?2
            AND ((kind = 'session' AND place = ?3) OR (kind = 'workspace' AND place = ?4)) ORDER BY id LIMIT 1",
        )
        .and_then(|mut statement| {
            let workspace = workspace.map(WorkspaceId::as_str);
            let wanted = params![tool, digest, session.as_str(), workspace];
            statement.query_row(wanted, |row| row.get(0)).optional()
        })
        .doing("look for an approval")
}

/// Oldest first.
pub(crate) fn list(connection: &Connection) -> Result<Vec<StandingApproval>> {
    connection
        .prepare_cached("SELECT id, tool, digest, kind, place, decider, approved_ms FROM approvals ORDER BY id")
        .and_then(|mut statement| statement.query_map([], approval)?.collect())
        .doing("list the approvals")
}

pub(crate) fn revoke(connection: &Connection, id: u64, by: &str) -> Result<Vec<AuditEntry>> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM approvals WHERE id = ? RETURNING id, tool, digest, kind, place, decider, approved_ms",
        )
        .and_then(|mut statement| {
            let id = i64::try_from(id).unwrap_or(i64::MAX);
            statement.query_row([id], approval).optional()
        })
        .doing("revoke an approval")?;
    match gone {
        None => Err(
            Error::new(ErrorKind::NotFound, "no-approval", format!("there is no approval {id}"))
                .with_hint("`sandbar grants list` numbers them"),
        ),
        Some(gone) => Ok(vec![entry(
            "approval.revoke",
            &gone.tool,
            &gone.digest,
            &gone.place,
            by,
        )]),
    }
}

/// What the audit has of a standing approval: its session is the one where it holds, if it holds in one.
fn entry(action: &str, tool: &str, digest: &str, place: &ApprovalPlace, by: &str) -> AuditEntry {
    AuditEntry {
        session: match place {
            ApprovalPlace::Session(id) => Some(id.clone()),
            ApprovalPlace::Workspace(_) => None,
        },
        plugin: plugin_of(tool),
        digest: Some(digest.to_owned()),
        by: DecidedBy::of_answer(by),
        ..AuditEntry::of(action, tool)
    }
}

impl ApprovalPlace {
    fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Session(id) => ("session", id.as_str()),
            Self::Workspace(id) => ("workspace", id.as_str()),
        }
    }
}

fn approval(row: &Row<'_>) -> rusqlite::Result<StandingApproval> {
    Ok(StandingApproval {
        id: columns::number(row, 0)?,
        tool: row.get(1)?,
        digest: row.get(2)?,
        place: match row.get::<_, String>(3)?.as_str() {
            "session" => ApprovalPlace::Session(columns::id(row, 4, SessionId::parse)?),
            _ => ApprovalPlace::Workspace(columns::id(row, 4, WorkspaceId::parse)?),
        },
        by: row.get(5)?,
        approved_ms: columns::number(row, 6)?,
    })
}
