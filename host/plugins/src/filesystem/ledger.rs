//! What one instance has open and has used up.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use sandbar_protocol::{Denial, DenialSink};
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types;
use wasmtime_wasi::p2::{FsError, FsResult};

use super::directory::OpenNode;
use super::open_files::{OpenFile, OpenFiles};
use super::quota::Quota;
use crate::own_places::OwnPlaces;
use crate::refusals::Gatekeeper;

/// A listing of a directory that a guest reads.
pub(super) struct Listing {
    pub(super) entries: usize,
    /// Names that it leaves out.
    pub(super) unlisted: Arc<[OsString]>,
}

/// What one instance has open and has used up.
pub(crate) struct FileLedger {
    open: Arc<OpenFiles>,
    /// In the order of the directories that the instance is given.
    pub(super) quotas: Vec<Arc<Quota>>,
    pub(super) held: HashMap<u32, Held>,
    /// Listings that the guest has not dropped.
    pub(super) listings: HashMap<u32, Listing>,
    pub(super) operations: u32,
    /// Quotas whose directories were counted in this call.
    counted: Vec<Arc<Quota>>,
    pub(super) full: Arc<Full>,
    /// What no guest may have in its hands.
    pub(super) places: Arc<OwnPlaces>,
    /// None while the instance is being made.
    pub(super) gatekeeper: Option<Gatekeeper>,
}

/// A descriptor's place in the counts; streams over it hold the same.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) quota: Arc<Quota>,
    pub(super) file: Arc<HeldFile>,
}

pub(super) struct HeldFile {
    /// None of a directory.
    pub(super) node: Option<Arc<OpenNode>>,
    _open: OpenFile,
}

impl Held {
    /// Gives the room of an entry back if the entry wasn't made.
    pub(super) fn keep_entry<T>(&self, made: FsResult<T>) -> FsResult<T> {
        if made.is_err() {
            self.quota.directory.give_back_entry();
        }
        made
    }
}

impl FileLedger {
    pub(crate) fn new(plugin: Arc<str>, open: Arc<OpenFiles>, quotas: Vec<Arc<Quota>>, places: Arc<OwnPlaces>) -> Self {
        Self {
            open,
            quotas,
            held: HashMap::new(),
            listings: HashMap::new(),
            operations: 0,
            counted: Vec::new(),
            places,
            full: Arc::new(Full {
                plugin,
                call: Mutex::default(),
            }),
            gatekeeper: None,
        }
    }

    /// A new call may do as much as the one before.
    pub(crate) fn begin_call(&mut self, gatekeeper: Gatekeeper) {
        self.operations = 0;
        self.counted.clear();
        self.full.begin_call(gatekeeper.refusals.sink());
        self.gatekeeper = Some(gatekeeper);
    }

    /// A place among the open files.
    pub(super) fn place(&self) -> Result<OpenFile, types::ErrorCode> {
        self.open
            .open(self.held.len())
            .ok_or(types::ErrorCode::InsufficientMemory)
    }

    pub(super) fn hold(
        &mut self,
        descriptor: &Resource<Descriptor>,
        quota: Arc<Quota>,
        place: OpenFile,
        file: Option<Arc<File>>,
    ) -> std::io::Result<()> {
        let node = file.map(|file| OpenNode::of(&quota.directory, file)).transpose()?;
        let file = Arc::new(HeldFile { node, _open: place });
        self.held.insert(descriptor.rep(), Held { quota, file });
        Ok(())
    }

    pub(super) fn of(&self, descriptor: &Resource<Descriptor>) -> Result<Held, FsError> {
        let held = self.held.get(&descriptor.rep());
        held.cloned().ok_or_else(|| types::ErrorCode::BadDescriptor.into())
    }

    /// Before the first change of a call what is in a directory is counted, where it can have been changed by others.
    pub(super) async fn count(&mut self, quota: &Arc<Quota>) {
        let again = quota.counts_again() && !self.counted.iter().any(|counted| Arc::ptr_eq(counted, quota));
        if again {
            self.counted.push(quota.clone());
        }
        quota.directory.count(again).await;
    }
}

/// Tells a person which directories are full, each once in a call.
pub(super) struct Full {
    plugin: Arc<str>,
    call: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    sink: Option<DenialSink>,
    denials: Vec<Denial>,
}

impl Full {
    fn begin_call(&self, sink: Option<DenialSink>) {
        let denials = Vec::new();
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = Told { sink, denials };
    }

    pub(super) fn tell(&self, quota: &Quota) {
        let denial = quota.denial(&self.plugin);
        let mut told = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        if told.denials.contains(&denial) {
            return;
        }
        tracing::warn!("{}", denial.reason);
        if let Some(sink) = &told.sink {
            sink(denial.clone());
        }
        told.denials.push(denial);
    }
}
