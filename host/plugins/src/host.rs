//! What all guests share, for the life of the process: engine, threads, places, memory.

use std::sync::{Arc, OnceLock};

use sandbar_protocol::{KeyValues, Result};
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::crowd::Crowd;
use crate::egress::{Egress, EgressSettings};
use crate::engine::{Allocation, Linkers, fingerprint, running_engine};
use crate::error::internal;
use crate::filesystem::OpenFiles;
use crate::guest::Guest;
use crate::lane::Lane;
use crate::memory::{GuestMemory, default_budget};
use crate::meter::CallStats;
use crate::own_places::OwnPlaces;
use crate::sinks::SinkRates;
use crate::slots::{Full, Slot, Slots};
use crate::ticker::Ticker;
use crate::warm::{Warm, WarmKey};

/// Told of every call that has ended.
pub(crate) type Observer = Box<dyn Fn(CallStats) + Send + Sync>;

pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) allocation: Allocation,
    pub(crate) fingerprint: String,
    pub(crate) linkers: Linkers,
    pub(crate) memory: Arc<GuestMemory>,
    pub(crate) slots: Arc<Slots>,
    /// What no guest may have in its hands.
    pub(crate) own_places: Arc<OwnPlaces>,
    /// Files that guests have open.
    pub(crate) open_files: Arc<OpenFiles>,
    /// First slices that may run at once on callers' runtimes.
    pub(crate) slices: Arc<Semaphore>,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) warm: Warm,
    pub(crate) sinks: Arc<SinkRates>,
    pub(crate) observer: OnceLock<Observer>,
    pub(crate) egress: Arc<Egress>,
    /// Where plugins keep things; none where nothing is kept.
    pub(crate) keys: OnceLock<KeyValues>,
    // Dropped before the ticker, whose threads its tasks use.
    pub(crate) lane: Lane,
    pub(crate) ticker: Arc<Ticker>,
}

impl Host {
    pub(crate) fn start(
        max_instances: u32,
        memory_budget: Option<u64>,
        egress: EgressSettings,
        own_places: OwnPlaces,
    ) -> Result<Arc<Self>> {
        let thread_failed = |source: std::io::Error| internal(format!("a thread can't be started: {source}"));
        let (engine, allocation) = running_engine(max_instances)?;
        let ticker = Arc::new(Ticker::start(&engine).map_err(thread_failed)?);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = cores.saturating_sub(1).max(1);
        Ok(Arc::new(Self {
            fingerprint: fingerprint(&engine),
            linkers: Linkers::new(&engine)?,
            allocation,
            memory: Arc::new(GuestMemory::new(
                memory_budget.unwrap_or_else(default_budget),
                max_instances,
            )),
            slots: Slots::new(max_instances as usize),
            own_places: Arc::new(own_places),
            open_files: OpenFiles::of_this_process(),
            slices: Arc::new(Semaphore::new(share)),
            crowd: Crowd::new(),
            warm: Warm::new((max_instances / 4).max(1) as usize),
            sinks: Arc::default(),
            observer: OnceLock::new(),
            egress: Egress::new(egress)?,
            keys: OnceLock::new(),
            lane: Lane::start(ticker.clone(), share).map_err(thread_failed)?,
            ticker,
            engine,
        }))
    }

    /// A place for an instance: a free one, one that a warm instance gives up, or the next that comes free.
    pub(crate) async fn slot(&self, session: &Arc<str>, plugin: &Arc<str>) -> Slot {
        match self.slots.take(session, plugin) {
            Ok(slot) => slot,
            Err((full, queued)) => {
                match full {
                    Full::All => self.warm.drop_oldest(),
                    Full::Share => self.warm.drop_oldest_of(plugin),
                }
                queued.place().await
            }
        }
    }

    /// Keeps an instance between two calls, unless somebody waits for its place.
    pub(crate) fn keep(&self, key: WarmKey, guest: Guest) {
        let plugin = guest.plugin().clone();
        self.warm.put(key, guest);
        // Not before it is there: whoever begins to wait at this moment finds it, or is found here.
        if self.slots.wants_one_of(&plugin) {
            self.warm.drop_oldest_of(&plugin);
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("allocation", &self.allocation)
            .finish_non_exhaustive()
    }
}
