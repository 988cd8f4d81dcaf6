//! Connections for reading, apart from the writer's: a reader never waits for a commit, nor the writer for a reader.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use sandbar_protocol::Result;

use crate::{lock, open};

/// How many idle connections are kept.
const IDLE: usize = 4;

#[derive(Debug)]
pub(crate) enum Readers {
    Files {
        directory: PathBuf,
        vfs: Option<String>,
        idle: Mutex<Vec<Connection>>,
    },
    /// A database in memory has one connection, which the writer locks for each of its transactions.
    Memory(Arc<Mutex<Connection>>),
}

impl Readers {
    pub(crate) fn of_directory(directory: PathBuf, vfs: Option<String>) -> Self {
        Self::Files {
            directory,
            vfs,
            idle: Mutex::default(),
        }
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        match self {
            Self::Memory(connection) => read(&lock(connection)),
            Self::Files { directory, vfs, idle } => {
                let kept = lock(idle).pop();
                let connection = match kept {
                    Some(connection) => connection,
                    None => open::open_for_reading(directory, vfs.as_deref())?,
                };
                let result = read(&connection);
                let mut idle = lock(idle);
                if idle.len() < IDLE {
                    idle.push(connection);
                }
                result
            }
        }
    }
}
