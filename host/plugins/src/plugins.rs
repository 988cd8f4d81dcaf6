//! All plugins of a host: found, compiled, described, listed. A broken one never stops the others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures::StreamExt;
use sandbar_protocol::manifest::Kind;
use sandbar_protocol::{Error, ErrorKind, KeyValues, Result};

use crate::approval::{Recorded, compare};
use crate::cache::{Cache, deserialize};
use crate::describe::{describe, describe_memory};
use crate::digest::sha256;
use crate::discover::{Bundled, Candidate, Content, Origin, discover};
use crate::egress::EgressSettings;
use crate::error::broken;
use crate::facts::{Facts, MemoryTraits};
use crate::host::Host;
use crate::limits::{GuestLimits, MAX_MODEL_TOOL_NAME_BYTES};
use crate::lock::LockFile;
use crate::meter::CallStats;
use crate::own_places::{OwnPlace, OwnPlaces};
use crate::plugin::{Loaded, Plugin, Ready, Status};
use crate::sandbox::{Sandbox, SandboxSpec};
use crate::wall::Wall;
use crate::watch::CallWatch;
use crate::worker::CompileWorker;

/// Settings of the plugin host.
#[derive(Debug, Clone)]
pub struct PluginsConfig {
    pub directories: Vec<PathBuf>,
    pub bundled: Vec<Bundled>,
    /// For compiled code; made with mode 0700.
    pub cache_directory: PathBuf,
    /// The program that compiles; none takes the running one, which must call `worker_entry`.
    pub worker: Option<PathBuf>,
    /// Says which components were approved; without it each is taken as it is.
    pub lock: Option<LockFile>,
    /// Puts compile workers behind the kernel's wall, as far as this kernel has one.
    pub kernel_sandbox: bool,
    pub limits: GuestLimits,
    /// Instances at once.
    pub max_instances: u32,
    /// Sum of all guests' memories in bytes; none takes a quarter of the machine's.
    pub guest_memory_bytes: Option<u64>,
    /// Secrets, the network, and what may not get out.
    pub egress: EgressSettings,
    /// What no plugin may have in its hands, whatever directories it is given.
    pub own_places: Vec<OwnPlace>,
}

/// What `Plugins::open` is doing, for whoever waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preparation {
    /// This many components must be compiled first.
    Compiling {
        total: usize,
    },
    Compiled {
        name: String,
    },
}

/// The plugins of a host.
#[derive(Debug)]
pub struct Plugins {
    pub(crate) host: Arc<Host>,
    pub(crate) cache: Cache,
    pub(crate) limits: GuestLimits,
    pub(crate) lock: Option<LockFile>,
    /// What became of those that the lock had nothing of.
    pub(crate) recorded: Recorded,
    pub(crate) watch: OnceLock<CallWatch>,
    worker_wall: Option<Wall>,
    plugins: BTreeMap<String, Arc<Plugin>>,
    /// Files that lost their name to another.
    shadowed: Vec<Arc<Plugin>>,
}

impl Plugins {
    /// Finds, compiles and describes. `progress` is called as components are compiled.
    pub async fn open(config: PluginsConfig, progress: impl Fn(Preparation) + Send + Sync) -> Result<Arc<Self>> {
        let host = Host::start(
            config.max_instances,
            config.guest_memory_bytes,
            config.egress,
            OwnPlaces::new(config.own_places),
        )?;
        let cache = Cache::open(&config.cache_directory, &host.fingerprint)?;
        let worker = CompileWorker::new(config.worker, config.kernel_sandbox)?;
        let mut memo = cache.read_memo();
        let (candidates, twins) = by_name(discover(&config.directories, &config.bundled, &mut memo)?);
        if memo.changed {
            cache.write_memo(&memo)?;
        }
        let known: Vec<_> = candidates
            .into_iter()
            .map(|candidate| (facts_of(&cache, &candidate), candidate))
            .collect();
        let total = known
            .iter()
            .filter(|(facts, candidate)| facts.is_none() && candidate.content.is_ok())
            .count();
        if total > 0 {
            progress(Preparation::Compiling { total });
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut plugins: BTreeMap<String, Plugin> = futures::stream::iter(known)
            .map(|(facts, candidate)| {
                let (host, cache, worker, progress) = (&host, &cache, &worker, &progress);
                async move {
                    let compile = facts.is_none() && candidate.content.is_ok();
                    let plugin = prepare(host, cache, worker, facts, candidate).await;
                    if compile {
                        progress(Preparation::Compiled {
                            name: plugin.name.to_string(),
                        });
                    }
                    plugin
                }
            })
            .buffered(cores)
            .map(|plugin| (plugin.name.to_string(), plugin))
            .collect()
            .await;
        let recorded = match &config.lock {
            Some(lock) => compare(&mut plugins, &config.bundled, lock, &cache)?,
            None => Recorded::default(),
        };
        let plugins = plugins.into_iter().map(|(name, plugin)| (name, Arc::new(plugin)));
        Ok(Arc::new(Self {
            lock: config.lock,
            recorded,
            watch: OnceLock::new(),
            host,
            cache,
            limits: config.limits,
            worker_wall: worker.wall(),
            plugins: plugins.collect(),
            shadowed: twins,
        }))
    }

    /// Every component that was found, by name; those without a usable name last.
    pub fn list(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.values().chain(&self.shadowed)
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(name)
    }

    /// Names of the usable plugins of a kind.
    pub fn names(&self, kind: Kind) -> Vec<String> {
        let usable = |plugin: &&Arc<Plugin>| plugin.ready().is_ok_and(|ready| ready.kind == kind);
        self.plugins
            .values()
            .filter(usable)
            .map(|plugin| plugin.name.to_string())
            .collect()
    }

    /// The limits of one plugin's calls.
    pub fn limits_of(&self, plugin: &Plugin) -> GuestLimits {
        plugin.effective_limits(self.limits)
    }

    /// Names that a configuration may use for a kind: those of its plugins, and of the broken ones, whose kind nobody knows.
    pub fn named(&self, kind: Kind) -> Vec<String> {
        let fits = |plugin: &&Arc<Plugin>| plugin.ready().map_or(true, |ready| ready.kind == kind);
        self.plugins
            .values()
            .filter(fits)
            .map(|plugin| plugin.name.to_string())
            .collect()
    }

    /// Whether a plugin of a kind can be used, and why not.
    pub fn check(&self, name: &str, kind: Kind) -> Result<()> {
        self.usable(name, kind).map(|_| ())
    }

    /// What a session's plugins run in.
    pub fn sandbox(self: &Arc<Self>, spec: SandboxSpec) -> Sandbox {
        Sandbox::new(self.clone(), spec)
    }

    /// Tells of every call that ends from now on, and what it used. Only the first observer is told.
    pub fn observe(&self, observer: impl Fn(CallStats) + Send + Sync + 'static) {
        // Whoever comes second has been told so above.
        let _ = self.host.observer.set(Box::new(observer));
    }

    /// Where plugins that may keep something keep it. Only the first place counts; without one nothing can be kept.
    pub fn keep_in(&self, keys: KeyValues) {
        // Whoever comes second has been told so above.
        let _ = self.host.keys.set(keys);
    }

    /// The SHA-256 of a usable plugin's component, hexadecimal.
    pub fn digest_of(&self, name: &str, kind: Kind) -> Result<String> {
        self.usable(name, kind).map(|(plugin, _)| plugin.digest.clone())
    }

    /// Whether instances come from a pool; otherwise each takes longer to make.
    pub fn is_pooling(&self) -> bool {
        self.host.allocation == crate::engine::Allocation::Pooling
    }

    /// What the kernel has put around the worker that compiled; none if nothing had to be compiled.
    pub fn worker_wall(&self) -> Option<Wall> {
        self.worker_wall
    }

    /// A usable plugin of a kind, or why there is none.
    pub(crate) fn usable(&self, name: &str, kind: Kind) -> Result<(&Arc<Plugin>, &Ready)> {
        let plugin = self.plugins.get(name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "no-plugin", format!("there is no plugin `{name}`"))
                .with_hint(format!("there are: {}", self.names(kind).join(", ")))
        })?;
        let ready = plugin
            .ready()
            .map_err(|error| error.told(|message| format!("the plugin `{name}` can't be used: {message}")))?;
        if ready.kind != kind {
            return Err(Error::new(
                ErrorKind::Config,
                "wrong-kind",
                format!("the plugin `{name}` is a {}, wanted a {kind}", ready.kind),
            ));
        }
        Ok((plugin, ready))
    }
}

/// One candidate per name; the later ones are broken, so that nothing is shadowed silently.
fn by_name(candidates: Vec<Candidate>) -> (Vec<Candidate>, Vec<Arc<Plugin>>) {
    let mut first: BTreeMap<String, Candidate> = BTreeMap::new();
    let mut twins = Vec::new();
    for candidate in candidates {
        // Some file systems and some readers don't tell `A` from `a`.
        let mut holders = first.values();
        let Some(holder) = holders.find(|holder| holder.name.eq_ignore_ascii_case(&candidate.name)) else {
            first.insert(candidate.name.clone(), candidate);
            continue;
        };
        let place = match &holder.origin {
            Origin::File(path) => format!("`{}`", path.display()),
            Origin::Bundled => "a bundled plugin".to_owned(),
        };
        let error = broken("name-taken", format!("its name is taken by {place}")).with_hint("rename one of the files");
        twins.push(Arc::new(broken_plugin(candidate, error)));
    }
    (first.into_values().collect(), twins)
}

fn facts_of(cache: &Cache, candidate: &Candidate) -> Option<Facts> {
    cache.facts(&candidate.content.as_ref().ok()?.digest)
}

fn broken_plugin(candidate: Candidate, error: Error) -> Plugin {
    let (digest, bytes, manifest) = match candidate.content {
        Ok(content) => (content.digest, content.bytes, content.manifest),
        Err(_) => (String::new(), 0, None),
    };
    Plugin::new(
        &candidate.name,
        candidate.origin,
        digest,
        bytes,
        manifest,
        Status::Broken(error),
    )
}

async fn prepare(
    host: &Arc<Host>,
    cache: &Cache,
    worker: &CompileWorker,
    facts: Option<Facts>,
    candidate: Candidate,
) -> Plugin {
    let content = match &candidate.content {
        Ok(content) => content,
        Err(error) => {
            let error = error.clone();
            return broken_plugin(candidate, error);
        }
    };
    let facts = match facts {
        Some(facts) => Ok(facts),
        None => compile(host, cache, worker, &candidate.name, content).await,
    };
    match facts.and_then(|facts| check(&candidate.name, content, facts)) {
        Ok(facts) => Plugin::new(
            &candidate.name,
            candidate.origin,
            content.digest.clone(),
            content.bytes,
            content.manifest.clone(),
            Status::Ready(Box::new(Ready::new(facts))),
        ),
        Err(error) => broken_plugin(candidate, error),
    }
}

/// Compiles and describes. Facts are written last: an entry with facts is complete.
async fn compile(
    host: &Arc<Host>,
    cache: &Cache,
    worker: &CompileWorker,
    name: &str,
    content: &Content,
) -> Result<Facts> {
    let (shape, code) = worker.compile(&content.read()?).await?;
    let kind = shape.kind().ok_or_else(|| broken("other-world", "it is no plugin"))?;
    cache.put_code(&content.digest, &code)?;
    let loaded = Arc::new(Loaded::new(host, &deserialize(&host.engine, &code)?, kind)?);
    let mut facts = Facts {
        kind,
        shape,
        code_digest: sha256(&code),
        tools: Vec::new(),
        memory: MemoryTraits::default(),
    };
    if kind != Kind::Pattern {
        let status = Status::Ready(Box::new(Ready::new(facts.clone())));
        let plugin = Plugin::new(
            name,
            Origin::Bundled,
            content.digest.clone(),
            content.bytes,
            None,
            status,
        );
        match kind {
            Kind::Tool => facts.tools = describe(host, Arc::new(plugin), loaded).await?,
            Kind::Memory => facts.memory = describe_memory(host, Arc::new(plugin), loaded).await?,
            Kind::Pattern => {}
        }
    }
    cache.put_facts(&content.digest, &facts)?;
    Ok(facts)
}

/// What depends on the file's name and manifest, and so isn't cached.
fn check(name: &str, content: &Content, facts: Facts) -> Result<Facts> {
    if let Some(kind) = content.manifest.as_ref().and_then(|manifest| manifest.kind)
        && kind != facts.kind
    {
        return Err(broken(
            "bad-manifest",
            format!("its manifest says `{kind}`, its exports say `{}`", facts.kind),
        )
        .with_hint(format!("write `kind = \"{}\"`", facts.kind)));
    }
    let longest = facts.tools.iter().map(|tool| tool.name.len()).max().unwrap_or(0);
    if name.len() + 2 + longest > MAX_MODEL_TOOL_NAME_BYTES {
        return Err(broken(
            "bad-name",
            format!("with its tools' names, `{name}__…` is longer than {MAX_MODEL_TOOL_NAME_BYTES} characters"),
        )
        .with_hint("give the file a shorter name"));
    }
    Ok(facts)
}
