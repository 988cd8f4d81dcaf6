//! One call of a small component: raw wasmtime beside the plugin host, fresh and warm.

use std::path::Path;
use std::sync::Arc;

use sandbar::OpenOptions;
use sandbar::plugins::SandboxSpec;
use sandbar::protocol::SessionId;
use serde_json::json;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::measure::{Samples, Stopwatch, ratio};
use crate::table::Table;
use crate::world::{ECHO_AGENT, World, invocation};

const CALLS: usize = 20_000;

mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "tool-plugin", exports: { default: async } });
}

/// The least that a host of this world can be.
struct Bare {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Bare {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl bindings::sandbar::plugin::types::Host for Bare {}

impl bindings::sandbar::plugin::log::Host for Bare {
    fn write(&mut self, _: bindings::sandbar::plugin::log::Level, _: String) {}
}

impl bindings::sandbar::plugin::progress::Host for Bare {
    fn report(&mut self, _: String) {}
}

pub(crate) async fn rows(guests: &Path, table: &mut Table) -> anyhow::Result<()> {
    let (raw_fresh, raw_warm) = raw(guests).await.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let (fresh, warm) = ours(guests).await?;
    table.row(
        "fresh store and instance, one call, 20,000 times",
        fresh.show(),
        format!("raw wasmtime: {}", raw_fresh.show()),
        ratio(fresh.percentile(50), raw_fresh.percentile(50)),
        "≤ 1.2",
    );
    table.row(
        "warm call of one instance",
        warm.show(),
        format!("raw wasmtime: {}", raw_warm.show()),
        ratio(warm.percentile(50), raw_warm.percentile(50)),
        "≤ 5, ≤ 5 µs",
    );
    Ok(())
}

async fn raw(guests: &Path) -> wasmtime::Result<(Samples, Samples)> {
    let mut config = Config::new();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(16)
        .total_memories(64)
        .total_tables(64)
        .total_stacks(16)
        .total_core_instances(128)
        // As ours: what it saves is wasmtime's.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(4 << 10)
        .pagemap_scan(Enabled::Auto);
    config
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let component = Component::from_file(&engine, guests.join("echo.wasm"))?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    // What `echo` imports; nothing else of the world has to be behind it.
    bindings::sandbar::plugin::log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    bindings::sandbar::plugin::progress::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    let pre = bindings::ToolPluginPre::new(linker.instantiate_pre(&component)?)?;
    let fresh = || {
        let mut store = Store::new(
            &engine,
            Bare {
                wasi: WasiCtx::builder().build(),
                table: ResourceTable::new(),
            },
        );
        store.set_epoch_deadline(u64::MAX / 2);
        store
    };
    let context = || bindings::exports::sandbar::plugin::tool::CallContext {
        session: "bench".to_owned(),
        run: "bench".to_owned(),
        call: "call".to_owned(),
        config: "{}".to_owned(),
        annotations: Vec::new(),
    };
    let input = r#"{"text":"hello"}"#.to_owned();
    let mut watch = Stopwatch::start();
    for _ in 0..CALLS {
        watch
            .time(async {
                let mut store = fresh();
                let plugin = pre.instantiate_async(&mut store).await?;
                plugin
                    .sandbar_plugin_tool()
                    .call_call(&mut store, "echo", &input, &context())
                    .await
            })
            .await?
            .map_err(|error| wasmtime::Error::msg(format!("{error:?}")))?;
    }
    let raw_fresh = watch.stop();
    let mut store = fresh();
    let plugin = pre.instantiate_async(&mut store).await?;
    let mut watch = Stopwatch::start();
    for _ in 0..CALLS {
        watch
            .time(
                plugin
                    .sandbar_plugin_tool()
                    .call_call(&mut store, "echo", &input, &context()),
            )
            .await?
            .map_err(|error| wasmtime::Error::msg(format!("{error:?}")))?;
    }
    Ok((raw_fresh, watch.stop()))
}

async fn ours(guests: &Path) -> anyhow::Result<(Samples, Samples)> {
    let world = World::new(guests, &["echo"], ECHO_AGENT, "")?;
    let plugins = world.directory.path().join("plugins");
    std::fs::copy(plugins.join("echo.wasm"), plugins.join("warm.wasm"))?;
    std::fs::write(plugins.join("warm.toml"), "lifetime = \"session\"")?;
    let plugins = sandbar::load_plugins(&world.config()?, &OpenOptions::default()).await?;
    let spec = SandboxSpec {
        session: SessionId::parse("bench")?,
        workspace: None,
        grants: Arc::default(),
    };
    let sandbox = plugins.sandbox(spec);
    let mut samples = Vec::new();
    for plugin in ["echo", "warm"] {
        let tools = sandbox.tools(plugin)?;
        let name = format!("{plugin}__echo");
        let tool = tools
            .iter()
            .find(|tool| tool.spec().name == name)
            .ok_or_else(|| anyhow::anyhow!("no {name}"))?;
        for _ in 0..100 {
            tool.call(invocation(json!({ "text": "hello" }))?).await?;
        }
        let mut watch = Stopwatch::start();
        for _ in 0..CALLS {
            let invocation = invocation(json!({ "text": "hello" }))?;
            watch.time(tool.call(invocation)).await?;
        }
        samples.push(watch.stop());
    }
    let warm = samples.pop().ok_or_else(|| anyhow::anyhow!("no samples"))?;
    let fresh = samples.pop().ok_or_else(|| anyhow::anyhow!("no samples"))?;
    Ok((fresh, warm))
}
