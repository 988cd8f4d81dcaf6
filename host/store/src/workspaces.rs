//! The table of workspaces: directories that sessions may see, each use of one an instance with its own id.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, params};
use sandbar_protocol::{Error, ErrorKind, Result, WorkspaceId, kill_point};

use crate::columns;
use crate::error::Doing as _;

/// Whose directory a workspace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkspaceKind {
    /// Made by Sandbar in its data directory, and removed by it.
    Own,
    /// The user's own: never removed, and restored only after the user has seen what would change.
    User,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkspace {
    pub id: WorkspaceId,
    pub kind: WorkspaceKind,
    pub path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub kind: WorkspaceKind,
    pub path: PathBuf,
    pub created_ms: u64,
}

impl WorkspaceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::User => "user",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "own" => Self::Own,
            // What isn't known to be ours is never removed.
            _ => Self::User,
        }
    }
}

impl NewWorkspace {
    /// Paths are kept as text.
    pub(crate) fn check(&self) -> Result<()> {
        if self.path.to_str().is_some() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            "bad-path",
            format!("the path of a workspace must be UTF-8, found `{}`", self.path.display()),
        )
        .with_hint("use a directory whose name is valid UTF-8"))
    }
}

pub(crate) fn insert(connection: &Connection, new: &NewWorkspace, now_ms: u64) -> Result<()> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO workspaces (id, kind, path, created_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .and_then(|mut statement| {
            let path = new.path.to_str().unwrap_or_default();
            statement.execute(params![new.id.as_str(), new.kind.as_str(), path, now_ms as i64])
        })
        .doing("create a workspace")?;
    kill_point("store.workspace.inserted");
    // A user's directory is one workspace for all sessions that see it: registering it again, in whatever process, is no mistake.
    let same = |old: Workspace| old.kind == WorkspaceKind::User && old.kind == new.kind && old.path == new.path;
    if inserted == 0 && !find(connection, &new.id)?.is_some_and(same) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "workspace-exists",
            format!("there is already a workspace `{}`", new.id),
        )
        .with_hint("use a new id for each workspace"));
    }
    Ok(())
}

pub(crate) fn find(connection: &Connection, id: &WorkspaceId) -> Result<Option<Workspace>> {
    connection
        .prepare_cached("SELECT kind, path, created_ms FROM workspaces WHERE id = ?")
        .and_then(|mut statement| {
            statement
                .query_row([id.as_str()], |row| {
                    Ok(Workspace {
                        id: id.clone(),
                        kind: WorkspaceKind::parse(&row.get::<_, String>(0)?),
                        path: row.get::<_, String>(1)?.into(),
                        created_ms: columns::number(row, 2)?,
                    })
                })
                .optional()
        })
        .doing("read a workspace")
}
