//! One engine for all plugins, and the linkers with what a guest may import.

use std::hash::{DefaultHasher, Hash, Hasher};

use sandbar_protocol::Result;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, OptLevel, PoolingAllocationConfig,
    Strategy,
};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};

use crate::bindings;
use crate::error::{chain, internal};
use crate::facts::READING;
use crate::filesystem::Files;
use crate::guest::GuestState;
use crate::limits::{
    ASYNC_STACK, MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS, MAX_TABLES, MAX_WASM_STACK,
    MEMORY_KEPT, TABLE_KEPT,
};

/// Settings that shape the machine code. The compile worker uses the same: code is only loaded by an engine that agrees.
fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(MAX_WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .module_version(ModuleVersionStrategy::WasmtimeVersion)
        .expect("the version of wasmtime is a valid version")
        .wasm_component_model(true);
    config
}

/// For the compile worker: on-demand allocation, since the pooling allocator can't reserve its address space under a limit.
pub(crate) fn compiling_engine() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// How guests' memory is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allocation {
    Pooling,
    /// Where address space is short (a limit of the shell, a small machine): slower to instantiate.
    OnDemand,
}

/// For the host: pooling, with a fall-back.
pub(crate) fn running_engine(max_instances: u32) -> Result<(Engine, Allocation)> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(max_instances)
        .total_core_instances(max_instances.saturating_mul(4).max(MAX_CORE_INSTANCES))
        .total_memories(max_instances.saturating_mul(2).max(MAX_MEMORIES))
        .total_tables(max_instances.saturating_mul(3).max(MAX_TABLES))
        .total_stacks(max_instances)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_memory_size(MAX_MEMORY_BYTES as usize)
        .table_elements(MAX_TABLE_ELEMENTS)
        .linear_memory_keep_resident(MEMORY_KEPT)
        .table_keep_resident(TABLE_KEPT)
        .pagemap_scan(Enabled::Auto);
    let mut pooling = config();
    pooling.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    if let Ok(engine) = Engine::new(&pooling) {
        return Ok((engine, Allocation::Pooling));
    }
    let engine = Engine::new(&config())
        .map_err(|error| internal(format!("the WebAssembly engine can't be started: {}", chain(&error))))?;
    Ok((engine, Allocation::OnDemand))
}

/// Names the settings and versions under which code was compiled; part of the cache's file names.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    READING.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What a guest of each kind may import: WASI 0.2 with nothing behind it, and our own interfaces.
#[derive(Clone)]
pub(crate) struct Linkers {
    pub(crate) tool: Linker<GuestState>,
    pub(crate) pattern: Linker<GuestState>,
    pub(crate) memory: Linker<GuestState>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        let failed = |error: wasmtime::Error| internal(format!("host functions can't be linked: {}", chain(&error)));
        let mut base = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut base).map_err(failed)?;
        // Files are wasmtime's behind our own counts and checks.
        base.allow_shadowing(true);
        types::add_to_linker::<_, Files>(&mut base, GuestState::files).map_err(failed)?;
        preopens::add_to_linker::<_, Files>(&mut base, GuestState::files).map_err(failed)?;
        base.allow_shadowing(false);
        let mut tool = base.clone();
        bindings::tool::ToolPlugin::add_to_linker::<_, HasSelf<_>>(&mut tool, |state| state).map_err(failed)?;
        // The same way out as `http`, for components that were written for it. A pattern has none.
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut tool).map_err(failed)?;
        let mut memory = base.clone();
        bindings::memory::MemoryPlugin::add_to_linker::<_, HasSelf<_>>(&mut memory, |state| state).map_err(failed)?;
        let mut pattern = base;
        bindings::pattern::PatternPlugin::add_to_linker::<_, HasSelf<_>>(&mut pattern, |state| state)
            .map_err(failed)?;
        Ok(Self { tool, pattern, memory })
    }
}
