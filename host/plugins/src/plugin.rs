//! A plugin: one component file, and what became of it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use sandbar_protocol::manifest::{Kind, Lifetime, Manifest};
use sandbar_protocol::policy::{Effective, PowerGrant};
use sandbar_protocol::{Error, Result, ToolSpec};
use wasmtime::component::Component;

use crate::bindings::memory::MemoryPluginPre;
use crate::bindings::pattern::PatternPluginPre;
use crate::bindings::tool::ToolPluginPre;
use crate::cache::Cache;
use crate::difference::Waiting;
use crate::discover::Origin;
use crate::error::{broken, chain};
use crate::exposed::ExposedTools;
use crate::facts::{Facts, MemoryTraits};
use crate::grants::effective;
use crate::guest::GuestState;
use crate::host::Host;
use crate::limits::{GuestLimits, LONG_REMEMBERED};
use crate::manifest;

/// One component that was found.
#[derive(Debug)]
pub struct Plugin {
    /// The file's name without `.wasm`.
    pub name: Arc<str>,
    pub origin: Origin,
    /// SHA-256 of the component, hexadecimal; empty if it could not be read.
    pub digest: String,
    pub bytes: u64,
    pub manifest: Option<Manifest>,
    pub status: Status,
    /// Set where it is not what was approved under its name; it is broken until somebody approves of it.
    pub waiting: Option<Box<Waiting>>,
    /// When a long call of it last ended.
    long_call: Mutex<Option<Instant>>,
}

/// Whether a plugin can be used.
#[derive(Debug)]
pub enum Status {
    Ready(Box<Ready>),
    Broken(Error),
}

/// A plugin that can be used. Its code is loaded at the first call, so that a start doesn't pay for what it doesn't use.
#[derive(Debug)]
pub struct Ready {
    pub kind: Kind,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// With the names that the component gave, without the floor of its grants.
    pub tools: Vec<ToolSpec>,
    /// What a memory says of itself.
    pub memory: MemoryTraits,
    pub(crate) facts: Facts,
    pub(crate) exposed: ExposedTools,
    loaded: OnceLock<Result<Arc<Loaded>>>,
}

/// Machine code, ready to be instantiated.
pub(crate) struct Loaded {
    pub(crate) program: Program,
}

pub(crate) enum Program {
    Tool(ToolPluginPre<GuestState>),
    Pattern(PatternPluginPre<GuestState>),
    Memory(MemoryPluginPre<GuestState>),
}

impl Plugin {
    pub(crate) fn new(
        name: &str,
        origin: Origin,
        digest: String,
        bytes: u64,
        manifest: Option<Manifest>,
        status: Status,
    ) -> Self {
        Self {
            name: name.into(),
            origin,
            digest,
            bytes,
            manifest,
            status,
            waiting: None,
            long_call: Mutex::new(None),
        }
    }

    pub(crate) fn ready(&self) -> Result<&Ready> {
        match &self.status {
            Status::Ready(ready) => Ok(ready),
            Status::Broken(error) => Err(error.clone()),
        }
    }

    /// What is left of a grant: requested *and* granted.
    pub fn effective(&self, granted: PowerGrant) -> Effective {
        effective(&self.name, self.manifest.as_ref(), granted)
    }

    /// The configured limits, tightened by what the plugin asks for.
    pub(crate) fn effective_limits(&self, configured: GuestLimits) -> GuestLimits {
        match &self.manifest {
            Some(manifest) => manifest::limits(manifest, configured),
            None => configured,
        }
    }

    pub(crate) fn lifetime(&self) -> Lifetime {
        self.manifest
            .as_ref()
            .map_or(Lifetime::Call, |manifest| manifest.lifetime)
    }

    /// The code, from the cache. Reading it blocks for a millisecond or two, once.
    pub(crate) fn load(&self, host: &Host, cache: &Cache) -> Result<Arc<Loaded>> {
        let ready = self.ready()?;
        ready
            .loaded
            .get_or_init(|| {
                let component = cache.load(&host.engine, &self.digest, &ready.facts)?;
                Loaded::new(host, &component, ready.kind).map(Arc::new)
            })
            .clone()
    }

    pub(crate) fn was_long_lately(&self) -> bool {
        let long_call = self.long_call.lock().unwrap_or_else(PoisonError::into_inner);
        long_call.is_some_and(|at| at.elapsed() < LONG_REMEMBERED)
    }

    pub(crate) fn note_long_call(&self) {
        *self.long_call.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Ready {
    pub(crate) fn new(facts: Facts) -> Self {
        Self {
            kind: facts.kind,
            imports: facts.shape.imports.clone(),
            exports: facts.shape.exports.clone(),
            tools: facts.tools.clone(),
            memory: facts.memory,
            facts,
            exposed: ExposedTools::default(),
            loaded: OnceLock::new(),
        }
    }
}

impl Loaded {
    /// Links the imports. A missing one is found here, before anything runs.
    pub(crate) fn new(host: &Host, component: &Component, kind: Kind) -> Result<Self> {
        let unlinked = |error: wasmtime::Error| {
            broken("missing-import", format!("it can't be linked: {}", chain(&error)))
                .with_hint("build it against the `wit/` of this version, and import nothing but that and WASI 0.2")
        };
        let program = match kind {
            Kind::Tool => {
                let instance = host.linkers.tool.instantiate_pre(component).map_err(unlinked)?;
                Program::Tool(ToolPluginPre::new(instance).map_err(unlinked)?)
            }
            Kind::Pattern => {
                let instance = host.linkers.pattern.instantiate_pre(component).map_err(unlinked)?;
                Program::Pattern(PatternPluginPre::new(instance).map_err(unlinked)?)
            }
            Kind::Memory => {
                let instance = host.linkers.memory.instantiate_pre(component).map_err(unlinked)?;
                Program::Memory(MemoryPluginPre::new(instance).map_err(unlinked)?)
            }
        };
        Ok(Self { program })
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").finish_non_exhaustive()
    }
}
