//! The table of standing approvals: what a person allowed for more than one call.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandbar_protocol::{
    AuditEntry, Authority, DecidedBy, Error, ErrorKind, Result, SessionId, WorkspaceId, kill_point,
};

use crate::audit::plugin_of;
use crate::columns;
use crate::error::Doing as _;

/// A tool that may be called without asking, and where. It names the component by its digest: another file asks again, and so does more
/// than what the person was told that the tool can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApproval {
    /// `<plugin>__<tool>`.
    pub tool: String,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// What the person was told that it can do; none for a tool of the embedding program.
    pub authority: Option<Authority>,
    pub place: ApprovalPlace,
    /// Who said so.
    pub by: String,
}

/// A call that an approval is looked for.
#[derive(Debug, Clone, Copy)]
pub struct WantedApproval<'a> {
    pub tool: &'a str,
    pub digest: &'a str,
    /// What it could do now; none for a tool of the embedding program.
    pub authority: Option<&'a Authority>,
    pub session: &'a SessionId,
    pub workspace: Option<&'a WorkspaceId>,
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
    /// None for a tool of the embedding program.
    pub authority: Option<Authority>,
    pub place: ApprovalPlace,
    pub by: String,
    pub approved_ms: u64,
}

pub(crate) fn insert(connection: &Connection, new: &NewApproval, now_ms: u64) -> Result<Vec<AuditEntry>> {
    let (kind, place) = new.place.columns();
    let authority = serde_json::to_string(&new.authority).unwrap_or_default();
    connection
        .prepare_cached(
            // Who is asked again is asked since the tool can do something else by now: the newest word counts.
            "INSERT INTO approvals (tool, digest, authority, kind, place, decider, approved_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (tool, digest, kind, place) DO UPDATE
            SET authority = excluded.authority, decider = excluded.decider, approved_ms = excluded.approved_ms",
        )
        .and_then(|mut statement| {
            let row = params![new.tool, new.digest, authority, kind, place, new.by, now_ms as i64];
            statement.execute(row)
        })
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

/// Who gave the one that holds, if one does.
pub(crate) fn holds(connection: &Connection, wanted: &WantedApproval<'_>) -> Result<Option<String>> {
    let found = connection
        .prepare_cached(
            "SELECT decider, authority FROM approvals WHERE tool = ?1 AND digest = ?2
            AND ((kind = 'session' AND place = ?3) OR (kind = 'workspace' AND place = ?4)) ORDER BY id",
        )
        .and_then(|mut statement| {
            let workspace = wanted.workspace.map(WorkspaceId::as_str);
            let place = params![wanted.tool, wanted.digest, wanted.session.as_str(), workspace];
            let rows = statement.query_map(place, |row| Ok((row.get::<_, String>(0)?, authority(row, 1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .doing("look for an approval")?;
    let covers = |told: &Option<Authority>| match (wanted.authority, told) {
        (None, None) => true,
        (Some(now), Some(told)) => now.is_within(told),
        _ => false,
    };
    Ok(found.into_iter().find(|(_, told)| covers(told)).map(|(by, _)| by))
}

/// Oldest first.
pub(crate) fn list(connection: &Connection) -> Result<Vec<StandingApproval>> {
    connection
        .prepare_cached(
            "SELECT id, tool, digest, kind, place, decider, approved_ms, authority FROM approvals ORDER BY id",
        )
        .and_then(|mut statement| statement.query_map([], approval)?.collect())
        .doing("list the approvals")
}

pub(crate) fn revoke(connection: &Connection, id: u64, by: &str) -> Result<Vec<AuditEntry>> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM approvals WHERE id = ? RETURNING id, tool, digest, kind, place, decider, approved_ms, authority",
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
        authority: authority(row, 7)?,
    })
}

fn authority(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Authority>> {
    serde_json::from_str(&row.get::<_, String>(index)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error)))
}
