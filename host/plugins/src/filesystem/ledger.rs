//! What one instance has open and has used up.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types;
use wasmtime_wasi::p2::{FsError, FsResult};

use super::quota::{ENTRY_BYTES, OpenFile, OpenFiles, Quota};

/// What one instance has open and has used up.
pub(crate) struct FileLedger {
    pub(super) plugin: Arc<str>,
    open: Arc<OpenFiles>,
    /// In the order of the directories that the instance is given.
    pub(super) quotas: Vec<Arc<Quota>>,
    pub(super) held: HashMap<u32, Held>,
    /// Entries in listings that the guest has not dropped, by listing.
    pub(super) listings: HashMap<u32, usize>,
    pub(super) operations: u32,
}

/// A descriptor's place in the counts; streams over it hold the same.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) quota: Arc<Quota>,
    pub(super) file: Arc<OpenFile>,
}

impl Held {
    /// Gives the room of an entry back if the entry wasn't made.
    pub(super) fn keep_entry<T>(&self, made: FsResult<T>) -> FsResult<T> {
        if made.is_err() {
            self.quota.give_back(ENTRY_BYTES);
        }
        made
    }
}

impl FileLedger {
    pub(crate) fn new(plugin: Arc<str>, open: Arc<OpenFiles>, quotas: Vec<Arc<Quota>>) -> Self {
        Self {
            plugin,
            open,
            quotas,
            held: HashMap::new(),
            listings: HashMap::new(),
            operations: 0,
        }
    }

    /// A new call may do as much as the one before.
    pub(crate) fn begin_call(&mut self) {
        self.operations = 0;
    }

    pub(super) fn hold(&mut self, quota: Arc<Quota>) -> Result<Held, types::ErrorCode> {
        let file = self
            .open
            .open(self.held.len())
            .ok_or(types::ErrorCode::InsufficientMemory)?;
        Ok(Held { quota, file })
    }

    pub(super) fn of(&self, descriptor: &Resource<Descriptor>) -> Result<Held, FsError> {
        let held = self.held.get(&descriptor.rep());
        held.cloned().ok_or_else(|| types::ErrorCode::BadDescriptor.into())
    }
}
