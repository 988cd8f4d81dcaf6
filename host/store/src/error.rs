//! How a failure of SQLite or of a file becomes the project's error.

use rusqlite::ErrorCode;
use sandbar_protocol::{Error, ErrorKind, Result, RunId, SessionId, SuspensionId};

/// Says what was being done when a lower layer failed: "could not `doing`".
pub(crate) trait Doing<T> {
    fn doing(self, doing: &str) -> Result<T>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &str) -> Result<T> {
        self.map_err(|error| from_sqlite(doing, error))
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, doing: &str) -> Result<T> {
        self.map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => return full(doing, error),
                _ => "journal-failed",
            };
            Error::new(ErrorKind::Storage, code, format!("could not {doing}: {error}"))
                .with_hint("check that the data directory exists and may be written by this user")
                .with_source(error)
        })
    }
}

/// A row, or the chain that it belongs to, is not what was written.
pub(crate) fn corrupt(session: &SessionId, sequence: u64, problem: &str) -> Error {
    Error::new(
        ErrorKind::Storage,
        "journal-corrupt",
        format!("event {sequence} of session `{session}` is damaged: {problem}"),
    )
    .with_hint(match sequence {
        0 | 1 => "restore the data directory from a copy; other sessions are not affected".to_owned(),
        _ => format!(
            "the {} events before it can still be read; restore the data directory from a copy to get the rest back",
            sequence - 1
        ),
    })
}

pub(crate) fn session_not_found(session: &SessionId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        "session-not-found",
        format!("there is no session `{session}`"),
    )
    .with_hint("list the sessions to see which there are, or start a new one")
}

/// Whoever wants to go on with a run that has ended gets this.
pub fn run_finished(id: &RunId) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "run-finished",
        format!("the run `{id}` has ended"),
    )
    .with_hint("start a new run of its session with `sandbar run --session`")
}

/// Whoever answers what nobody asked gets this.
pub fn suspension_not_found(id: &SuspensionId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        "suspension-not-found",
        format!("nothing waits for an answer as `{id}`"),
    )
    .with_hint("`sandbar runs list` names what waits")
}

/// The writer thread has ended, which it does only with the store or by a defect.
pub(crate) fn writer_gone() -> Error {
    Error::new(ErrorKind::Storage, "journal-failed", "the journal's writer has stopped")
        .with_hint("everything that was committed is kept; restart the process")
}

fn from_sqlite(doing: &str, error: rusqlite::Error) -> Error {
    let code = error.sqlite_error_code();
    let (name, hint) = match code {
        Some(ErrorCode::DiskFull) => return full(doing, error),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            "journal-corrupt",
            "restore `sandbar.db` in the data directory from a copy, or move it away to start with an empty journal",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            "journal-busy",
            "another process has held the journal for a long time; see which one has the data directory open",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => (
            "journal-failed",
            "check that the data directory exists and may be written by this user",
        ),
        _ => (
            "journal-failed",
            "everything that was committed is kept; check the disk that holds the data directory",
        ),
    };
    let built = Error::new(ErrorKind::Storage, name, format!("could not {doing}: {error}"))
        .with_hint(hint)
        .with_source(error);
    if name == "journal-busy" {
        built.retryable()
    } else {
        built
    }
}

fn full(doing: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::Storage,
        "journal-full",
        format!("could not {doing}: the disk is full, or the journal has reached its size limit"),
    )
    .with_hint("nothing that was committed is lost; free some space or raise the limit, then continue the session")
    .with_source(error)
}
