//! A disk that can lose power and can fail, under the files of one SQLite database.
//!
//! What SQLite does goes to real files in a directory, so that it sees what a running program sees. Beside that the disk keeps what
//! would be left: per file what was synced and what was done since, per name what the directory said when it was last synced. A sync
//! costs nothing here: it moves what was done since to what is durable.
//!
//! What is taken for granted, and no more: after `fsync` has returned, the file's bytes and size are durable; after the directory was
//! synced, which SQLite does with the first sync of a journal that it opened and where it says so when it deletes, the names are. A
//! write that was not synced may be there, or not, or in part, sector by sector, in any order; what a file grew by may read as
//! anything. Bytes beside those that are written keep their value when a sector is torn (SQLite takes that for granted as well:
//! `SQLITE_IOCAP_POWERSAFE_OVERWRITE`). The shared memory file (`-shm`) is never durable.

mod content;
mod gate;
mod names;
#[expect(
    unsafe_code,
    reason = "SQLite calls a VFS through C function pointers, and rusqlite has no safe way to register one"
)]
mod vfs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

use crate::chance::Chance;

use self::content::Content;
pub(crate) use self::gate::Gate;
use self::names::{FileNumber, Names};
pub(crate) use self::vfs::NAME as VFS;

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What SQLite asks of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Open,
    Read,
    Write,
    Sync,
    Truncate,
    Delete,
    /// A part of the shared memory is made.
    Map,
}

pub(crate) const OPERATIONS: [Operation; 7] = [
    Operation::Open,
    Operation::Read,
    Operation::Write,
    Operation::Sync,
    Operation::Truncate,
    Operation::Delete,
    Operation::Map,
];

/// One operation that fails, or it and all of its kind that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) operation: Operation,
    /// 1 is the first.
    pub(crate) nth: u64,
    pub(crate) lasting: bool,
    /// `ENOSPC` rather than `EIO`: SQLite hears of it from writes alone.
    pub(crate) full: bool,
}

/// Whether the disk does what `fsync` promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    Honoured,
    /// As with `PRAGMA synchronous = OFF`, or a disk that lies.
    Swallowed,
}

#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    pub(crate) gate: Gate,
    state: Mutex<State>,
}

/// A disk that SQLite finds under its directory until this is dropped.
#[derive(Debug)]
pub(crate) struct Mounted(pub(crate) Arc<Disk>);

#[derive(Debug)]
struct State {
    files: Vec<Content>,
    names: Names,
    syncs: Syncs,
    power: Power,
    fault: Option<Fault>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// Lost at the operation after that many more that change something.
    EndsIn(u64),
    Lost,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    by_operation: BTreeMap<Operation, u64>,
    pub(crate) faults: u64,
    /// How often a write-ahead log was begun, for the first time or again after its content had gone to the database.
    pub(crate) wal_starts: u64,
}

/// How much of a write is done, and SQLite's code if that is not all.
type Done = Result<(), (usize, i32)>;

impl Disk {
    /// Takes the files for durable, writes them to the directory, and is there for SQLite.
    pub(crate) fn mount(directory: &Path, files: Files, syncs: Syncs) -> std::io::Result<Mounted> {
        let directory = directory.canonicalize()?;
        let (mut names, mut contents) = (Names::default(), Vec::new());
        for (name, bytes) in files {
            std::fs::write(directory.join(&name), &bytes)?;
            names.set(&name, Some(contents.len()));
            contents.push(Content::durable(bytes));
        }
        names.sync();
        let disk = Arc::new(Self {
            directory: directory.clone(),
            gate: Gate::default(),
            state: Mutex::new(State {
                files: contents,
                names,
                syncs,
                power: Power::On,
                fault: None,
                counts: Counts::default(),
            }),
        });
        vfs::mount(directory, Arc::clone(&disk));
        Ok(Mounted(disk))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The power goes after `more` further operations that change something, in the middle of the next one.
    pub(crate) fn lose_power_in(&self, more: u64) {
        let mut state = self.state();
        if state.power == Power::On {
            state.power = Power::EndsIn(more);
        }
    }

    pub(crate) fn has_lost_power(&self) -> bool {
        self.state().power == Power::Lost
    }

    /// From now on nothing works, and what is durable stays as it is.
    pub(crate) fn lose_power(&self) {
        self.state().power = Power::Lost;
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    pub(crate) fn mend(&self) {
        self.state().fault = None;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// One of the states that the disk may be found in.
    pub(crate) fn after_power_loss(&self, chance: &mut Chance) -> Files {
        let state = self.state();
        let names = state.names.after_power_loss(chance);
        names
            .into_iter()
            .map(|(name, file)| (name, state.files[file].after_power_loss(chance)))
            .collect()
    }

    /// The state with nothing but what was synced.
    pub(crate) fn synced(&self) -> Files {
        let state = self.state();
        let names = state.names.synced();
        names
            .into_iter()
            .map(|(name, file)| (name, state.files[file].synced()))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the VFS tells, each before it is done on the real files. An error is SQLite's code; then it must not be done.
impl Disk {
    fn open(&self) -> Result<(), i32> {
        self.state().allow(Operation::Open, ffi::SQLITE_CANTOPEN)
    }

    /// A file that SQLite has opened, made if it wasn't there.
    fn opened(&self, name: &str) -> FileNumber {
        let mut state = self.state();
        if let Some(file) = state.names.find(name) {
            return file;
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.names.set(name, Some(file));
        file
    }

    fn read(&self) -> Result<(), i32> {
        self.state().allow(Operation::Read, ffi::SQLITE_IOERR_READ)
    }

    fn map(&self) -> Result<(), i32> {
        self.state().allow(Operation::Map, ffi::SQLITE_IOERR_SHMSIZE)
    }

    fn write(&self, file: FileNumber, offset: usize, bytes: &[u8]) -> Done {
        let mut state = self.state();
        let (was_on, full) = (state.power != Power::Lost, state.fault.is_some_and(|fault| fault.full));
        let code = if full {
            ffi::SQLITE_FULL
        } else {
            ffi::SQLITE_IOERR_WRITE
        };
        match state.allow(Operation::Write, code) {
            Ok(()) => {
                state.files[file].write(offset, bytes);
                Ok(())
            }
            Err(code) if state.power == Power::Lost => {
                if state.is_cut_off(was_on) {
                    state.files[file].write(offset, bytes);
                }
                Err((0, code))
            }
            // A disk that fails has often written the first part.
            Err(code) => {
                let done = bytes.len() / 2;
                state.files[file].write(offset, &bytes[..done]);
                Err((done, code))
            }
        }
    }

    fn truncate(&self, file: FileNumber, size: usize) -> Result<(), i32> {
        let mut state = self.state();
        let was_on = state.power != Power::Lost;
        let allowed = state.allow(Operation::Truncate, ffi::SQLITE_IOERR_TRUNCATE);
        if allowed.is_ok() || state.is_cut_off(was_on) {
            state.files[file].truncate(size);
        }
        allowed
    }

    fn sync(&self, file: FileNumber, directory_too: bool) -> Result<(), i32> {
        let mut state = self.state();
        let allowed = state.allow(Operation::Sync, ffi::SQLITE_IOERR_FSYNC);
        if allowed.is_err() && state.power != Power::Lost {
            state.files[file].forget();
        }
        allowed?;
        if state.syncs == Syncs::Honoured {
            state.files[file].sync();
            if directory_too {
                state.names.sync();
            }
        }
        Ok(())
    }

    fn delete(&self, name: &str, sync_directory: bool) -> Result<(), i32> {
        let mut state = self.state();
        if state.names.find(name).is_none() {
            // SQLite deletes what may not be there; the real VFS tells it so.
            return Ok(());
        }
        let was_on = state.power != Power::Lost;
        let allowed = state.allow(Operation::Delete, ffi::SQLITE_IOERR_DELETE);
        if allowed.is_ok() || state.is_cut_off(was_on) {
            state.names.set(name, None);
        }
        allowed?;
        if sync_directory && state.syncs == Syncs::Honoured {
            state.names.sync();
        }
        Ok(())
    }

    fn began_wal(&self) {
        self.state().counts.wal_starts += 1;
    }
}

impl State {
    fn allow(&mut self, operation: Operation, code: i32) -> Result<(), i32> {
        if self.power == Power::Lost {
            return Err(code);
        }
        let count = self.counts.by_operation.entry(operation).or_default();
        *count += 1;
        let nth = *count;
        if let Power::EndsIn(more) = &mut self.power
            && operation.changes()
        {
            if *more == 0 {
                self.power = Power::Lost;
                return Err(code);
            }
            *more -= 1;
        }
        let strikes =
            |fault: &Fault| fault.operation == operation && (nth == fault.nth || (fault.lasting && nth > fault.nth));
        if self.fault.as_ref().is_some_and(strikes) {
            self.counts.faults += 1;
            return Err(code);
        }
        Ok(())
    }
}

impl State {
    /// Whether the power went in the middle of this operation: it may be done, as any that wasn't synced.
    fn is_cut_off(&self, was_on: bool) -> bool {
        was_on && self.power == Power::Lost
    }
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::Delete => "delete",
            Self::Map => "map",
        }
    }

    /// Whether it changes what the disk holds, or makes that durable.
    fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::Read | Self::Map)
    }
}

impl Counts {
    pub(crate) fn of(&self, operation: Operation) -> u64 {
        self.by_operation.get(&operation).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (operation, count) in &other.by_operation {
            *self.by_operation.entry(*operation).or_default() += count;
        }
        self.faults += other.faults;
        self.wal_starts += other.wal_starts;
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        vfs::unmount(&self.0.directory);
    }
}
