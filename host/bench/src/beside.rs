//! Honest work beside 200 loops: reading a file, computing for 8 ms, and the host's own timer while they all start at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::BoxFuture;
use sandbar::OpenOptions;
use sandbar::plugins::{Grant, Plugins, Sandbox, SandboxSpec, Workspace};
use sandbar::protocol::policy::{PowerGrant, PowerSet};
use sandbar::protocol::{FileAccess, Result, SessionId, Tool, ToolOutput};
use serde_json::{Value, json};

use crate::measure::{Samples, Stopwatch, ratio, show};
use crate::table::Table;
use crate::world::{World, invocation};

const LOOPS: usize = 200;
/// Calls that are measured; between two of them there is a pause.
const CALLS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);
const FILE_BYTES: usize = 20_000;
const COMPUTING: Duration = Duration::from_millis(8);

const CONFIG: &str = r#"
[plugins]
directories = ["plugins"]
[limits]
cpu_ms = 3600000
wall_ms = 3600000
[models.script]
provider = "scripted"
script = "replies.toml"
[agents.main]
model = "script"
"#;

type Loop = BoxFuture<'static, Result<ToolOutput>>;

pub(crate) async fn rows(guests: &Path, table: &mut Table) -> anyhow::Result<()> {
    let field = Field::open(guests).await?;
    let turns = field.turns().await?;
    let alone = field.measure(turns).await?;
    let idle = field.stall(Vec::new()).await?;
    // All of them at the same instant.
    let loops = field.loops()?;
    let stall = field.stall(loops).await?;
    let beside = field.beside(turns).await?;
    for (what, ours, alone, goal) in [
        ("reading a file of 20 kB", &beside.read, &alone.read, "p99 ≤ 10 ms"),
        ("8 ms of computing", &beside.compute, &alone.compute, "p99 ≤ 100 ms"),
        (
            "8 ms of computing, each in a new session",
            &beside.fresh,
            &alone.fresh,
            "p99 ≤ 100 ms",
        ),
    ] {
        table.row(
            &format!("beside {LOOPS} loops: {what}"),
            ours.show(),
            format!("without them: {}", alone.show()),
            ratio(ours.percentile(50), alone.percentile(50)),
            goal,
        );
    }
    table.row(
        &format!("{LOOPS} loops start at the same instant: the host's timer"),
        format!("late by {} at most", show(stall)),
        format!("nothing starts: {}", show(idle)),
        ratio(stall, idle),
        "≤ 30 ms",
    );
    Ok(())
}

struct Field {
    plugins: Arc<Plugins>,
    workspace: Arc<Workspace>,
    /// Kept for its files.
    _world: World,
}

struct Measured {
    read: Samples,
    compute: Samples,
    fresh: Samples,
}

impl Field {
    async fn open(guests: &Path) -> anyhow::Result<Self> {
        let world = World::new(guests, &["loop"], CONFIG, "")?;
        let root = world.directory.path();
        // The same component under another name is another plugin, of which nobody knows that it loops.
        std::fs::copy(root.join("plugins/loop.wasm"), root.join("plugins/honest.wasm"))?;
        std::fs::create_dir(root.join("work"))?;
        std::fs::write(root.join("work/file.txt"), "x".repeat(FILE_BYTES))?;
        let workspace = Arc::new(Workspace::open(&root.join("work"), 1 << 30)?);
        let plugins = sandbar::load_plugins(&world.config()?, &OpenOptions::default()).await?;
        Ok(Self {
            plugins,
            workspace,
            _world: world,
        })
    }

    fn sandbox(&self, session: &str) -> anyhow::Result<Sandbox> {
        let files = Grant {
            powers: PowerGrant {
                powers: PowerSet {
                    files: FileAccess::ReadOnly,
                    ..PowerSet::default()
                },
                ..PowerGrant::default()
            },
            ..Grant::default()
        };
        Ok(self.plugins.sandbox(SandboxSpec {
            session: SessionId::parse(session)?,
            workspace: Some(self.workspace.clone()),
            grants: Arc::new([("files".to_owned(), files)].into()),
        }))
    }

    fn tool(&self, session: &str, plugin: &str, name: &str) -> anyhow::Result<Arc<dyn Tool>> {
        let tools = self.sandbox(session)?.tools(plugin)?;
        let name = format!("{plugin}__{name}");
        let found = tools.into_iter().find(|tool| tool.spec().name == name);
        found.with_context(|| format!("there is no {name}"))
    }

    async fn call(&self, session: &str, plugin: &str, name: &str, input: Value) -> anyhow::Result<()> {
        let tool = self.tool(session, plugin, name)?;
        tool.call(invocation(input)?).await?;
        Ok(())
    }

    /// How many turns of `honest__count` take 8 ms on this machine when nothing else runs.
    async fn turns(&self) -> anyhow::Result<u64> {
        const SAMPLE: u64 = 1_000_000;
        let mut best = Duration::MAX;
        for _ in 0..20 {
            let begun = Instant::now();
            self.call("calibration", "honest", "count", json!({ "turns": SAMPLE }))
                .await?;
            best = best.min(begun.elapsed());
        }
        Ok((SAMPLE as f64 * COMPUTING.as_secs_f64() / best.as_secs_f64()) as u64)
    }

    async fn measure(&self, turns: u64) -> anyhow::Result<Measured> {
        let (mut read, mut compute, mut fresh) = (Stopwatch::start(), Stopwatch::start(), Stopwatch::start());
        for index in 0..CALLS {
            let path = json!({ "path": "file.txt" });
            read.time(self.call("reader", "files", "read", path)).await?;
            tokio::time::sleep(PAUSE).await;
            let work = json!({ "turns": turns });
            compute
                .time(self.call("computer", "honest", "count", work.clone()))
                .await?;
            tokio::time::sleep(PAUSE).await;
            let session = format!("computer-{index}");
            fresh.time(self.call(&session, "honest", "count", work)).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Measured {
            read: read.stop(),
            compute: compute.stop(),
            fresh: fresh.stop(),
        })
    }

    /// Calls that never return by themselves, in a session each.
    fn loops(&self) -> anyhow::Result<Vec<Loop>> {
        (0..LOOPS)
            .map(|index| {
                let session = format!("loop-{index}");
                let tool = self.tool(&session, "loop", "spin")?;
                Ok(tool.call(invocation(json!({}))?))
            })
            .collect()
    }

    async fn beside(&self, turns: u64) -> anyhow::Result<Measured> {
        let mut tasks = tokio::task::JoinSet::new();
        for call in self.loops()? {
            tasks.spawn(call);
        }
        // By then each has had more than honest calls will have.
        tokio::time::sleep(Duration::from_secs(8)).await;
        let measured = self.measure(turns).await;
        tasks.shutdown().await;
        measured
    }

    /// How late the timer was at most in the second after these were started together; then they are dropped.
    async fn stall(&self, calls: Vec<Loop>) -> anyhow::Result<Duration> {
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        let watched = over.clone();
        let mut watch = tokio::task::JoinSet::new();
        watch.spawn(async move {
            let mut longest = Duration::ZERO;
            while !watched.load(Ordering::Relaxed) {
                let asked = Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                longest = longest.max(asked.elapsed().saturating_sub(Duration::from_millis(1)));
            }
            longest
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        for call in calls {
            tasks.spawn(call);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        over.store(true, Ordering::Relaxed);
        let longest = watch.join_next().await.context("the timer was watched")??;
        tasks.shutdown().await;
        Ok(longest)
    }
}
