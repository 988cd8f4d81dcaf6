//! The data directory and the connections to its database.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sandbar_protocol::{Result, kill_point};

use crate::error::Doing as _;
use crate::migrate;
use crate::store::StoreOptions;

pub(crate) const DATABASE: &str = "sandbar.db";

/// Held while a process opens the database: changing to WAL and migrating tolerate no second one.
const OPENING: &str = "opening.lock";

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// More than the number of different statements, so that each is parsed once per connection.
const STATEMENT_CACHE: usize = 64;

/// Makes the directory for its owner alone. One that exists is tightened if it is ours: it holds conversations.
pub fn prepare_directory(directory: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(directory)
        .doing(&format!("create the data directory `{}`", directory.display()))?;
    #[cfg(unix)]
    tighten(directory)?;
    Ok(())
}

#[cfg(unix)]
fn tighten(directory: &Path) -> Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let metadata = directory
        .metadata()
        .doing(&format!("look at `{}`", directory.display()))?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.mode() & 0o077 == 0 || !ours {
        return Ok(());
    }
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
        .doing(&format!("take away others' access to `{}`", directory.display()))?;
    tracing::info!(directory = %directory.display(), "others could read the data directory; now only its owner can");
    Ok(())
}

/// The connection of the writer, with every table there.
pub(crate) fn open_for_writing(directory: &Path, options: &StoreOptions) -> Result<Connection> {
    let opening = File::create(directory.join(OPENING)).doing("create a lock file in the data directory")?;
    opening
        .lock()
        .doing("wait for another process that opens the journal")?;
    kill_point("store.open.locked");
    let mut connection = connect(directory, OpenFlags::default(), options.vfs.as_deref()).doing("open the journal")?;
    connection.busy_timeout(BUSY_TIMEOUT).doing("open the journal")?;
    migrate::refuse_newer(&connection)?;
    connection
        .pragma_update(None, "journal_mode", "wal")
        .doing("prepare the journal for many readers")?;
    connection
        .pragma_update(None, "synchronous", "full")
        .doing("make the journal durable")?;
    kill_point("store.open.checkpoint");
    write_log_back(&connection)?;
    prepare(&connection, options.max_bytes)?;
    migrate::migrate(&mut connection)?;
    kill_point("store.open.migrated");
    Ok(connection)
}

/// A log that an earlier process has left may hold a commit whose sync failed: Linux shows its pages as they were written, but never
/// writes them to the disk. What followed it in the log would be gone with it when the power is lost. In the database it is written
/// anew, and the log begins again. Without a log, and where another process uses it, this does nothing or as much as can be done
/// without waiting.
fn write_log_back(connection: &Connection) -> Result<()> {
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .doing("write the journal's log back")
}

pub(crate) fn open_in_memory(max_bytes: Option<u64>) -> Result<Connection> {
    let mut connection = Connection::open_in_memory().doing("open a journal in memory")?;
    prepare(&connection, max_bytes)?;
    migrate::migrate(&mut connection)?;
    Ok(connection)
}

pub(crate) fn open_for_reading(directory: &Path, vfs: Option<&str>) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(directory, flags, vfs).doing("open the journal for reading")?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .doing("open the journal for reading")?;
    keep_out_of_temporary_files(&connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}

fn connect(directory: &Path, flags: OpenFlags, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    let path = directory.join(DATABASE);
    match vfs {
        None => Connection::open_with_flags(path, flags),
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
    }
}

/// What is sorted stays in memory: behind the kernel's wall there is no directory for temporary files, and a journal's content has no
/// business there.
fn keep_out_of_temporary_files(connection: &Connection) -> Result<()> {
    connection
        .pragma_update(None, "temp_store", "memory")
        .doing("prepare the journal")
}

fn prepare(connection: &Connection, max_bytes: Option<u64>) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    keep_out_of_temporary_files(connection)?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .doing("prepare the journal")?;
    if let Some(max_bytes) = max_bytes {
        let page_bytes: u32 = connection
            .pragma_query_value(None, "page_size", |row| row.get(0))
            .doing("read the journal's page size")?;
        let pages = u32::try_from(max_bytes / u64::from(page_bytes))
            .unwrap_or(u32::MAX - 1)
            .max(1);
        connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .doing("limit the journal's size")?;
    }
    Ok(())
}
