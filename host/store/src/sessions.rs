//! The table of sessions: who, where, since when, and up to which event.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sandbar_protocol::{Error, ErrorKind, Result, RunId, SessionId, StopReason, WorkspaceId, kill_point};

use crate::error::{Doing as _, session_not_found};
use crate::{columns, runs, workspaces};

/// How much of the first message becomes the title.
const TITLE_CHARACTERS: usize = 80;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    pub id: SessionId,
    /// The name of the agent that answers by default.
    pub agent: String,
    pub workspace: Option<WorkspaceId>,
}

/// A session without its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    pub id: SessionId,
    pub agent: String,
    /// The start of the first message, on one line; empty before there is one.
    pub title: String,
    pub workspace: Option<WorkspaceId>,
    pub parent: Option<SessionParent>,
    pub created_ms: u64,
    /// When the last event was written.
    pub updated_ms: u64,
    /// How many events there are; also the sequence of the last.
    pub events: u64,
    pub runs: u64,
    /// How the last run ended; none while it goes on, or before the first.
    pub last_stop_reason: Option<StopReason>,
    pub last_run: Option<RunId>,
    /// The run that began it to give another agent a task, if one did.
    pub delegated_by: Option<RunId>,
}

/// Where a fork left its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionParent {
    pub session: SessionId,
    /// The last event that both have.
    pub sequence: u64,
}

const COLUMNS: &str = "
    SELECT id, agent, title, workspace, parent, parent_sequence, created_ms, updated_ms, head,
        (SELECT count(*) FROM runs WHERE session = sessions.id),
        (SELECT stop_reason FROM runs WHERE session = sessions.id ORDER BY first_sequence DESC LIMIT 1),
        (SELECT id FROM runs WHERE session = sessions.id ORDER BY first_sequence DESC LIMIT 1),
        (SELECT parent FROM runs WHERE session = sessions.id ORDER BY first_sequence LIMIT 1)
    FROM sessions";

pub(crate) fn insert(connection: &Connection, new: &NewSession, now_ms: u64) -> Result<()> {
    if let Some(workspace) = &new.workspace
        && workspaces::find(connection, workspace)?.is_none()
    {
        return Err(Error::new(
            ErrorKind::NotFound,
            "workspace-not-found",
            format!("there is no workspace `{workspace}` for the session `{}`", new.id),
        )
        .with_hint("create the workspace first"));
    }
    insert_into_its_workspace(connection, new, now_ms)
}

/// For a session whose workspace is known to be there.
pub(crate) fn insert_into_its_workspace(connection: &Connection, new: &NewSession, now_ms: u64) -> Result<()> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO sessions (id, agent, workspace, created_ms, updated_ms, head) VALUES (?1, ?2, ?3, ?4, ?4, 0)
            ON CONFLICT DO NOTHING",
        )
        .and_then(|mut statement| {
            let workspace = new.workspace.as_ref().map(WorkspaceId::as_str);
            statement.execute(params![new.id.as_str(), new.agent, workspace, now_ms as i64])
        })
        .doing("create a session")?;
    kill_point("store.session.inserted");
    if inserted == 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "session-exists",
            format!("there is already a session `{}`", new.id),
        )
        .with_hint("continue that session, or use a new id"));
    }
    Ok(())
}

pub(crate) fn find(connection: &Connection, id: &SessionId) -> Result<Option<SessionSummary>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE id = ?"))
        .and_then(|mut statement| statement.query_row([id.as_str()], summary).optional())
        .doing("read a session")
}

/// What the session was begun with.
pub(crate) fn origin(connection: &Connection, id: &SessionId) -> Result<Option<NewSession>> {
    let origin = |row: &Row<'_>| {
        Ok(NewSession {
            id: id.clone(),
            agent: row.get(0)?,
            workspace: columns::optional_id(row, 1, WorkspaceId::parse)?,
        })
    };
    connection
        .prepare_cached("SELECT agent, workspace FROM sessions WHERE id = ?")
        .and_then(|mut statement| statement.query_row([id.as_str()], origin).optional())
        .doing("read a session")
}

/// Newest first; `before` is the last one of the page before.
pub(crate) fn list(connection: &Connection, limit: usize, before: Option<&SessionId>) -> Result<Vec<SessionSummary>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let before = match before {
        None => None,
        Some(id) => Some((
            find(connection, id)?.ok_or_else(|| session_not_found(id))?.updated_ms,
            id,
        )),
    };
    let (updated_ms, id) = before.map_or((i64::MAX, ""), |(updated_ms, id)| (updated_ms as i64, id.as_str()));
    connection
        .prepare_cached(&format!(
            "{COLUMNS} WHERE (updated_ms, id) < (?, ?) ORDER BY updated_ms DESC, id DESC LIMIT ?"
        ))
        .and_then(|mut statement| statement.query_map(params![updated_ms, id, limit], summary)?.collect())
        .doing("list the sessions")
}

/// The sequence of a session's last event.
pub(crate) fn head(connection: &Connection, id: &SessionId) -> Result<Option<u64>> {
    connection
        .prepare_cached("SELECT head FROM sessions WHERE id = ?")
        .and_then(|mut statement| {
            statement
                .query_row([id.as_str()], |row| row.get::<_, i64>(0))
                .optional()
        })
        .map(|head| head.map(|head| head as u64))
        .doing("read a session")
}

/// `title` names a session that has no name; any other keeps its own.
pub(crate) fn advance(
    connection: &Connection,
    id: &SessionId,
    head: u64,
    at_ms: u64,
    title: Option<&str>,
) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE sessions SET head = ?, updated_ms = ?, title = iif(title = '', ifnull(?, ''), title) WHERE id = ?",
        )
        .and_then(|mut statement| statement.execute(params![head as i64, at_ms as i64, title, id.as_str()]))
        .doing("update a session")?;
    kill_point("store.session.advanced");
    Ok(())
}

/// What a first message names its session: its start, on one line.
pub(crate) fn title(message: &str) -> String {
    let mut title = String::new();
    let visible = message
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    for word in visible {
        if !title.is_empty() {
            title.push(' ');
        }
        title.extend(word.chars().take(TITLE_CHARACTERS));
        if title.len() >= 4 * TITLE_CHARACTERS {
            break;
        }
    }
    title
        .chars()
        .take(TITLE_CHARACTERS)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

fn summary(row: &Row<'_>) -> rusqlite::Result<SessionSummary> {
    let parent = columns::optional_id(row, 4, SessionId::parse)?.zip(columns::optional_number(row, 5)?);
    Ok(SessionSummary {
        id: columns::id(row, 0, SessionId::parse)?,
        agent: row.get(1)?,
        title: row.get(2)?,
        workspace: columns::optional_id(row, 3, WorkspaceId::parse)?,
        parent: parent.map(|(session, sequence)| SessionParent { session, sequence }),
        created_ms: columns::number(row, 6)?,
        updated_ms: columns::number(row, 7)?,
        events: columns::number(row, 8)?,
        runs: columns::number(row, 9)?,
        last_stop_reason: runs::stop_reason(row, 10)?,
        last_run: columns::optional_id(row, 11, RunId::parse)?,
        delegated_by: columns::optional_id(row, 12, RunId::parse)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_is_the_start_of_the_message_on_one_line() {
        let check = |message: &str, expected: &str| assert_eq!(title(message), expected, "{message:?}");
        check("", "");
        check("sum it up", "sum it up");
        check("  two\n\nlines\tand \u{1b}[31mcolour ", "two lines and [31mcolour");
        check(&"ü".repeat(200), &"ü".repeat(80));
        check(&"abc ".repeat(100), "abc ".repeat(20).trim_end());
    }
}
