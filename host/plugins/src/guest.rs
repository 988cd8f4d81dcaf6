//! One instance of a plugin: its store, what it was given, and how its failures are told.

use std::sync::Arc;

use futures::future::BoxFuture;
use sandbar_protocol::policy::Effective;
use sandbar_protocol::{Error, FileAccess, History, ProgressSink, Reachable, Result, ToolPowers};
use wasmtime::component::{ResourceTable, ResourceTableError};
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtxView;

use crate::bindings::memory::MemoryPlugin;
use crate::bindings::pattern::PatternPlugin;
use crate::bindings::tool;
use crate::bindings::tool::ToolPlugin;
use crate::boundary::{Boundary, Whose};
use crate::call::GuestCall;
use crate::egress::Caller;
use crate::error::{MMAP_FAILED, broken, chain, limit, not_started};
use crate::filesystem::{FileLedger, FilesView, Quota};
use crate::host::Host;
use crate::http_wasi::HttpState;
use crate::kv::KvPort;
use crate::limits::{LONG, MAX_HANDLES, MAX_LOG_BYTES, MAX_PROGRESS_BYTES, MAX_RANDOM_BYTES, MAX_TRANSFER_BYTES};
use crate::memory::{Refusal, StoreLimiter};
use crate::meter::{Meter, Slice};
use crate::output::OutputBuffer;
use crate::plugin::{Loaded, Plugin, Program};
use crate::refusals::Refusals;
use crate::seeded::Seed;
use crate::sinks::{Bucket, Teller};
use crate::slots::Slot;
use crate::workspace::{Mount, Workspace};

/// What an instance is given. Nothing by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Powers {
    pub(crate) workspace: Option<(Arc<Workspace>, FileAccess)>,
    pub(crate) mounts: Vec<Mount>,
    /// What the plugin has of everything else.
    pub(crate) effective: Arc<Effective>,
    /// Clock and random numbers of a pattern.
    pub(crate) seed: Option<Seed>,
}

impl Powers {
    /// Of the directories that an instance is given, in their order.
    fn quotas(&self) -> Result<Vec<Arc<Quota>>> {
        let workspace = self.workspace.iter().filter(|(_, access)| *access > FileAccess::None);
        let mounts = self.mounts.iter().filter(|mount| mount.access > FileAccess::None);
        let directories = workspace.map(|(workspace, _)| workspace);
        let directories = directories.chain(mounts.map(|mount| &mount.directory));
        directories.map(|directory| directory.quota().cloned()).collect()
    }

    /// For who has to say what a call could do.
    pub(crate) fn told(&self, files: FileAccess) -> ToolPowers {
        let workspace = self.workspace.iter().map(|(workspace, access)| Reachable {
            path: workspace.path().display().to_string(),
            access: *access,
        });
        let mounts = self.mounts.iter().map(|mount| Reachable {
            path: mount.directory.path().display().to_string(),
            access: mount.access,
        });
        ToolPowers {
            effective: self.effective.clone(),
            files,
            directories: workspace.chain(mounts).collect(),
        }
    }

    /// Nothing that can be seen from outside: no file is changed, and no request is sent.
    pub(crate) fn make_read_only(&mut self) {
        self.effective = Arc::new(self.effective.for_preview());
        if let Some((_, access)) = &mut self.workspace {
            *access = (*access).min(FileAccess::ReadOnly);
        }
        for mount in &mut self.mounts {
            mount.access = mount.access.min(FileAccess::ReadOnly);
        }
    }
}

/// What a call brings along.
#[derive(Clone, Default)]
pub(crate) struct CallPorts {
    pub(crate) progress: Option<ProgressSink>,
    pub(crate) history: Option<History>,
    /// What the plugin keeps; none where it may keep nothing.
    pub(crate) kv: Option<KvPort>,
    pub(crate) whose: Whose,
    /// Where what it is refused is put down.
    pub(crate) refusals: Refusals,
}

/// The state of a store.
pub(crate) struct GuestState {
    pub(crate) plugin: Arc<str>,
    wasi: WasiCtx,
    files: FileLedger,
    pub(crate) http: HttpState,
    table: ResourceTable,
    limiter: StoreLimiter,
    stdout: OutputBuffer,
    stderr: OutputBuffer,
    meter: Arc<Meter>,
    pub(crate) ports: CallPorts,
    pub(crate) teller: Teller,
    pub(crate) log: Bucket,
    pub(crate) progress: Bucket,
}

/// An instance between or during calls. Dropping it frees its memory and its place.
pub(crate) struct Guest {
    store: Store<GuestState>,
    program: Instance,
    _slot: Slot,
}

enum Instance {
    Tool(ToolPlugin),
    Pattern(PatternPlugin),
    Memory(MemoryPlugin),
}

impl Guest {
    /// A fresh store and instance. Runs guest code (initialisers), so it belongs inside a `GuestCall`.
    async fn start(setup: &CallSetup, slot: Slot, meter: Arc<Meter>) -> Result<Self> {
        let CallSetup {
            host,
            plugin,
            loaded,
            powers,
            session,
            ..
        } = setup;
        let caller = Caller::new(
            host.egress.clone(),
            plugin.name.clone(),
            session.clone(),
            powers.effective.clone(),
        );
        let protected = &caller.boundary.protected;
        let (stdout, stderr) = (
            OutputBuffer::new(protected.clone()),
            OutputBuffer::new(protected.clone()),
        );
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let limiter = StoreLimiter::new(host.memory.clone(), meter.limits().memory_bytes);
        let state = GuestState {
            plugin: plugin.name.clone(),
            wasi: wasi(powers, &stdout, &stderr)?,
            files: FileLedger::new(
                plugin.name.clone(),
                host.open_files.clone(),
                powers.quotas()?,
                host.own_places.clone(),
            ),
            http: HttpState::new(caller),
            table,
            limiter,
            stdout,
            stderr,
            meter,
            ports: CallPorts::default(),
            teller: Teller {
                rates: host.sinks.clone(),
                plugin: plugin.name.clone(),
                session: session.clone(),
            },
            log: Bucket::new(MAX_LOG_BYTES),
            progress: Bucket::new(MAX_PROGRESS_BYTES),
        };
        let mut store = Store::new(&host.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(MAX_TRANSFER_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| {
            let state = context.data();
            state.note_memory();
            Ok(match state.meter.check()? {
                Slice::Going => UpdateDeadline::Continue(1),
                Slice::Over => UpdateDeadline::Yield(1),
            })
        });
        let instance = match &loaded.program {
            Program::Tool(program) => program.instantiate_async(&mut store).await.map(Instance::Tool),
            Program::Pattern(program) => program.instantiate_async(&mut store).await.map(Instance::Pattern),
            Program::Memory(program) => program.instantiate_async(&mut store).await.map(Instance::Memory),
        };
        store.data().note_memory();
        match instance {
            Ok(program) => Ok(Self {
                store,
                program,
                _slot: slot,
            }),
            Err(error) => Err(store.data().explain(&error)),
        }
    }

    fn begin(&mut self, meter: Arc<Meter>, ports: CallPorts) {
        let state = self.store.data_mut();
        state.meter = meter;
        state.http.caller().begin(ports.whose.clone(), ports.refusals.clone());
        let gatekeeper = state.http.caller().gatekeeper();
        state.files.begin_call(gatekeeper);
        state.ports = ports;
        state.log = Bucket::new(MAX_LOG_BYTES);
        state.progress = Bucket::new(MAX_PROGRESS_BYTES);
        state.limiter.refusal = None;
        self.store.set_epoch_deadline(1);
    }

    /// What the call left behind: drops its ports, reports what was dropped or printed.
    fn end(&mut self) {
        let state = self.store.data_mut();
        state.note_memory();
        state.ports = CallPorts::default();
        for (sink, bucket) in [("log", state.log), ("progress", state.progress)] {
            if bucket.dropped > 0 {
                tracing::warn!(plugin = %state.plugin, sink, bytes = bucket.dropped, "dropped what was over the limit");
            }
        }
        for (stream, buffer) in [("standard output", &state.stdout), ("standard error", &state.stderr)] {
            let (text, found) = buffer.text();
            if found {
                state.http.boundary().tell_redacted(stream);
            }
            if !text.is_empty() {
                tracing::debug!(plugin = %state.plugin, stream, "{text}");
            }
        }
    }

    /// Whose instance it is.
    pub(crate) fn plugin(&self) -> &Arc<str> {
        &self.store.data().plugin
    }

    async fn call<R>(&mut self, export: Call<R>) -> Result<R> {
        let result = match (export, &self.program) {
            (Call::Tool(export), Instance::Tool(program)) => export(&mut self.store, program).await,
            (Call::Pattern(export), Instance::Pattern(program)) => export(&mut self.store, program).await,
            (Call::Memory(export), Instance::Memory(program)) => export(&mut self.store, program).await,
            _ => Err(wasmtime::Error::msg("the plugin is of another kind")),
        };
        self.end();
        result.map_err(|error| self.store.data().explain(&error))
    }
}

/// A call of an export of `P`; boxed, since its future borrows the store.
type Export<P, R> =
    Box<dyn for<'a> FnOnce(&'a mut Store<GuestState>, &'a P) -> BoxFuture<'a, wasmtime::Result<R>> + Send>;

/// What to call.
pub(crate) enum Call<R> {
    Tool(Export<ToolPlugin, R>),
    Pattern(Export<PatternPlugin, R>),
    Memory(Export<MemoryPlugin, R>),
}

/// Everything about one call but the call itself.
pub(crate) struct CallSetup {
    pub(crate) host: Arc<Host>,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) powers: Powers,
    pub(crate) limits: crate::limits::GuestLimits,
    pub(crate) session: Arc<str>,
    pub(crate) ports: CallPorts,
}

impl CallSetup {
    /// Calls a warm instance, or a fresh one. Gives the instance back if it may be called again.
    pub(crate) async fn run<R: Send + 'static>(self, warm: Option<Guest>, call: Call<R>) -> Result<(R, Guest)> {
        let slot = match warm {
            Some(_) => None,
            None => Some(self.host.slot(&self.session, &self.plugin.name).await),
        };
        let meter = Arc::new(Meter::start(self.limits));
        let (host, plugin, session) = (self.host.clone(), self.plugin.clone(), self.session.clone());
        let in_lane = plugin.was_long_lately();
        let boundary = Boundary::new(&host.egress.settings, plugin.name.clone(), self.ports.whose.clone());
        let guest_meter = meter.clone();
        let future = Box::pin(async move {
            let mut guest = match (warm, slot) {
                (Some(guest), _) => guest,
                (None, Some(slot)) => Guest::start(&self, slot, guest_meter.clone()).await?,
                (None, None) => return Err(crate::error::internal("a call has neither instance nor place")),
            };
            guest.begin(guest_meter, self.ports);
            let result = guest.call(call).await?;
            Ok((result, guest))
        });
        let result = GuestCall::new(
            host.clone(),
            plugin.name.clone(),
            session,
            meter.clone(),
            in_lane,
            future,
        )
        .await;
        if meter.cpu() >= LONG {
            plugin.note_long_call();
        }
        if let Some(observe) = host.observer.get() {
            observe(meter.stats(&plugin.name));
        }
        // The message of a crash has what was on standard error.
        result.map_err(|error| boundary.error(error))
    }
}

fn wasi(powers: &Powers, stdout: &OutputBuffer, stderr: &OutputBuffer) -> Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .max_random_size(MAX_RANDOM_BYTES);
    if let Some((workspace, access)) = &powers.workspace {
        preopen(&mut builder, workspace, "/", *access)?;
    }
    for mount in &powers.mounts {
        preopen(
            &mut builder,
            &mount.directory,
            &format!("/{}", mount.name),
            mount.access,
        )?;
    }
    if let Some(seed) = &powers.seed {
        builder
            .wall_clock(seed.clone())
            .monotonic_clock(seed.clone())
            .secure_random(seed.clone())
            .insecure_random(seed.clone())
            .insecure_random_seed(0);
    }
    Ok(builder.build())
}

fn preopen(builder: &mut WasiCtxBuilder, workspace: &Workspace, name: &str, access: FileAccess) -> Result<()> {
    let permissions = match access {
        FileAccess::None => return Ok(()),
        FileAccess::ReadOnly => FsPerms::ReadOnly,
        FileAccess::ReadWrite => FsPerms::ReadWrite,
    };
    builder
        .preopened_dir(workspace.stable_path()?, name, permissions)
        .map_err(|error| {
            broken(
                "no-workspace",
                format!(
                    "the workspace `{}` can't be opened: {error}",
                    workspace.path().display()
                ),
            )
        })?;
    Ok(())
}

impl GuestState {
    /// What the plugin keeps, in this call.
    pub(crate) fn kv(&mut self) -> Option<&mut KvPort> {
        self.ports.kv.as_mut()
    }

    fn note_memory(&self) {
        self.meter.note_memory(self.limiter.held());
    }

    /// The error of a call that the guest did not answer: our own limit, or a trap with what the guest said on standard error.
    fn explain(&self, error: &wasmtime::Error) -> Error {
        let plugin = &self.plugin;
        let chain = chain(error);
        // Wasmtime keeps the type of this error to itself.
        if chain.contains("fuel allocated for hostcalls") {
            let mib = MAX_TRANSFER_BYTES >> 20;
            return limit(
                "transfer-limit",
                format!("`{plugin}` was stopped: it passed more than {mib} MiB to the host in one call"),
            )
            .with_hint("pass less at a time, or write it into a file of the workspace");
        }
        if error
            .downcast_ref::<ResourceTableError>()
            .is_some_and(|error| matches!(error, ResourceTableError::Full))
        {
            return limit(
                "handle-limit",
                format!("`{plugin}` was stopped: it held more than {MAX_HANDLES} files, streams and waits at once"),
            )
            .with_hint("close what isn't needed any more");
        }
        let own = error.downcast_ref::<Error>();
        match (self.limiter.refusal, own) {
            // A guest that is refused memory and goes on asking runs into its time limit: the memory is what was wrong.
            (Some(refusal), Some(own)) => {
                return refused(plugin, refusal).told(|message| format!("{message}, then {}", own.message));
            }
            (Some(refusal), None) => return refused(plugin, refusal),
            (None, Some(own)) => return own.clone().told(|message| format!("`{plugin}` was {message}")),
            (None, None) if chain.contains(MMAP_FAILED) => return not_started(plugin),
            (None, None) => {}
        }
        let (said, found) = self.stderr.text();
        if found {
            self.http.boundary().tell_redacted("standard error");
        }
        let (code, what) = match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => ("stack-overflow", "ran out of stack: endless recursion?".to_owned()),
            Some(Trap::UnreachableCodeReached) if !said.is_empty() => ("plugin-trapped", said.clone()),
            // Compilers put a stack of their own at the start of memory, so that endless recursion mostly ends here.
            Some(Trap::MemoryOutOfBounds) if said.is_empty() => (
                "plugin-trapped",
                "out of bounds memory access: endless recursion?".to_owned(),
            ),
            Some(trap) => ("plugin-trapped", trap.to_string()),
            None => ("plugin-trapped", chain.clone()),
        };
        tracing::debug!(%plugin, error = %chain, stderr = %said, "guest failed");
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        let what = &what[what.len() - tail(&what, 500)..];
        broken(code, format!("`{plugin}` crashed: {what}"))
    }
}

fn refused(plugin: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Memory(bytes) => limit(
            "memory-limit",
            format!("`{plugin}` was stopped at {} MiB of memory", bytes >> 20),
        )
        .with_hint("if the need is honest, raise `limits.memory_mib` in sandbar.toml"),
        Refusal::HostMemory(bytes) => limit(
            "guest-memory-exhausted",
            format!(
                "`{plugin}` was stopped: all plugins together would need more than {} MiB",
                bytes >> 20
            ),
        )
        .with_hint("try again when fewer run, or raise `limits.guest_memory_mib` in sandbar.toml")
        .retryable(),
        Refusal::TableElements => limit(
            "table-limit",
            format!("`{plugin}` was stopped: its tables grew past the limit"),
        ),
    }
}

/// The length of the longest end of a text that has at most `bytes` and starts at a character.
fn tail(text: &str, bytes: usize) -> usize {
    text.len() - text.ceil_char_boundary(text.len().saturating_sub(bytes))
}

impl GuestState {
    pub(crate) fn caller(&mut self) -> &mut Caller {
        self.http.caller()
    }

    pub(crate) fn wasi_http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.table)
    }

    pub(crate) fn files(&mut self) -> FilesView<'_> {
        FilesView {
            wasi: WasiFilesystemCtxView {
                ctx: self.wasi.filesystem(),
                table: &mut self.table,
            },
            ledger: &mut self.files,
        }
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl tool::sandbar::plugin::types::Host for GuestState {}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest")
            .field("plugin", &self.store.data().plugin)
            .finish_non_exhaustive()
    }
}
