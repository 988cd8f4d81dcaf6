//! Attacks by what runs: a call of a tool, or a step of a pattern; alone, then many at once beside an honest session.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sandbar::Runtime;
use sandbar::plugins::CallStats;
use sandbar::protocol::{EventBody, RunRequest, SessionId, StreamItem, ToolOutcome};
use sandbar_torture::attacks::{Attack, Ends, Given, Way};
use sandbar_torture::components::Components;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

use super::gauge::{Times, lateness, peak, reset_peak};
use super::world::{CPU_MS, WALL_MS, World};

/// How long is measured, at least: what happened once in 20 ms has no percentiles.
const AT_LEAST: Duration = Duration::from_secs(1);
/// Time, memory, places for requests and descriptors are used up for everybody if enough want them.
const SHARED: [&str; 5] = [
    "cpu-limit",
    "wall-limit",
    "guest-memory-exhausted",
    "too-many-requests",
    "could-not-write",
];
/// What another plugin keeps in the session, so that there is something to look for.
const KEEP: &str = "tools keeper__set {\"key\":\"note\",\"value\":\"mine\"}\n";
const HONEST: &str = "tools echo__echo {\"text\":\"alive\"}\nfinish";

/// A runtime with all attackers.
pub(crate) struct Field {
    runtime: Runtime,
    stats: Arc<Mutex<Vec<CallStats>>>,
    /// Kept for its files.
    _world: World,
}

/// What came of an attack.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) attack: &'static Attack,
    /// How it ended alone: a code, or `answered`.
    pub(crate) alone: String,
    pub(crate) alone_well: bool,
    /// How often they all began, one wave after the other.
    pub(crate) waves: u32,
    /// How many ended how, at once.
    pub(crate) together: BTreeMap<String, usize>,
    pub(crate) together_wrong: usize,
    /// Runs of the honest session, and what came of those that did not get their answer.
    pub(crate) honest: usize,
    pub(crate) honest_failed: Vec<String>,
    pub(crate) honest_times: Times,
    pub(crate) lateness: Times,
    /// What this process needed more than before, in bytes.
    pub(crate) grown: u64,
    /// How far behind their first limit calls ended.
    pub(crate) overrun: Times,
    /// A wave.
    pub(crate) took: Duration,
}

/// What goes on beside an attack: the timer, and an honest session.
struct Beside {
    over: Arc<AtomicBool>,
    timer: JoinHandle<Times>,
    honest: JoinHandle<Result<(Vec<Duration>, Vec<String>)>>,
}

impl Field {
    pub(crate) async fn open(components: &Components, attacks: &[&'static Attack]) -> Result<Arc<Self>> {
        let world = World::new(components, attacks)?;
        let runtime = world.open().await?;
        let stats: Arc<Mutex<Vec<CallStats>>> = Arc::default();
        let sink = stats.clone();
        runtime
            .plugins()
            .observe(move |call| sink.lock().unwrap_or_else(PoisonError::into_inner).push(call));
        Ok(Arc::new(Self {
            runtime,
            stats,
            _world: world,
        }))
    }

    pub(crate) async fn close(&self) {
        self.runtime.close().await;
    }

    /// The timer of a host that has nothing to do but to serve the honest session.
    pub(crate) async fn idle(self: &Arc<Self>) -> Result<Times> {
        let beside = Beside::begin(self);
        tokio::time::sleep(AT_LEAST).await;
        Ok(beside.end().await?.0)
    }

    pub(crate) async fn run(self: &Arc<Self>, attack: &'static Attack, count: usize) -> Result<Ran> {
        let alone = self.outcome(attack, "alone").await?;
        let before = reset_peak()?;
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let beside = Beside::begin(self);
        let mut together = BTreeMap::new();
        let mut together_wrong = 0;
        let mut waves: u32 = 0;
        let begun = Instant::now();
        // An attack that is over soon is made again, so that there is something to measure beside it.
        while waves == 0 || begun.elapsed() < AT_LEAST {
            waves += 1;
            for ended in self.wave(attack, count, waves).await? {
                together_wrong += usize::from(!is_well(attack, &ended) && !SHARED.contains(&ended.as_str()));
                *together.entry(shown(&ended)).or_default() += 1;
            }
        }
        let took = begun.elapsed() / waves;
        let (lateness, honest_times, honest_failed) = beside.end().await?;
        Ok(Ran {
            attack,
            alone_well: is_well(attack, &alone),
            alone: shown(&alone),
            waves,
            together,
            together_wrong,
            honest: honest_times.len(),
            honest_failed,
            honest_times: Times::new(honest_times),
            lateness,
            grown: peak()?.saturating_sub(before),
            overrun: self.overrun(attack.component()),
            took,
        })
    }

    /// So many at once, each a task of its own, like requests that come over so many connections.
    async fn wave(self: &Arc<Self>, attack: &'static Attack, count: usize, wave: u32) -> Result<Vec<String>> {
        let mut attackers = JoinSet::new();
        for index in 0..count {
            let field = self.clone();
            // New ones: what an old session costs to go on with isn't asked here.
            let session = format!("{}-{wave}-{index}", attack.name.replace(':', "-"));
            attackers.spawn(async move { field.outcome(attack, &session).await });
        }
        attackers.join_all().await.into_iter().collect()
    }

    /// Runs without a pause, each in the same session: how long each took, and what came of those that did not get their answer.
    async fn honest(&self, over: &AtomicBool) -> Result<(Vec<Duration>, Vec<String>)> {
        let (mut times, mut failed) = (Vec::new(), Vec::new());
        loop {
            let begun = Instant::now();
            let ended = self.tool_outcome("main", HONEST, "honest").await?;
            times.push(begun.elapsed());
            if ended != "answered: alive" {
                failed.push(ended);
            }
            if over.load(Ordering::Relaxed) {
                return Ok((times, failed));
            }
            // Between two requests of a person there is a while.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn outcome(&self, attack: &Attack, session: &str) -> Result<String> {
        let name = attack.component();
        match attack.way {
            Way::Called { tool, input, given } => {
                let before = if given == Given::Kv { KEEP } else { "" };
                self.tool_outcome(
                    "main",
                    &format!("{before}tools {name}__{tool} {input}\nfinish"),
                    session,
                )
                .await
            }
            _ => self.tool_outcome(name, attack.message(), session).await,
        }
    }

    /// The error or answer of the tool that a run has called, else how the run ended.
    async fn tool_outcome(&self, agent: &str, message: &str, session: &str) -> Result<String> {
        let request = RunRequest {
            agent: Some(agent.to_owned()),
            session: Some(SessionId::parse(session)?),
            ..RunRequest::new(message)
        };
        let mut stream = self.runtime.run(request).await?;
        let mut found = None;
        while let Some(item) = stream.next().await {
            if let StreamItem::Event(event) = item?
                && let EventBody::ToolFinished { outcome, .. } = &event.body
            {
                found = Some(match outcome {
                    ToolOutcome::Error(error) => error.code.clone(),
                    ToolOutcome::Output(output) => format!("answered: {}", output.text),
                });
            }
        }
        let result = stream.result().await?;
        match (found, result.error) {
            (Some(found), _) => Ok(found),
            (None, Some(error)) => Ok(error.code),
            (None, None) => {
                let reason = serde_json::to_value(result.stop_reason)?;
                Ok(reason.as_str().context("a stop reason is a word")?.to_owned())
            }
        }
    }

    /// Of the calls of a plugin: how far the first of its limits was behind it when it ended.
    fn overrun(&self, plugin: &str) -> Times {
        let (cpu, wall) = (Duration::from_millis(CPU_MS), Duration::from_millis(WALL_MS));
        let stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let over = stats
            .iter()
            .filter(|call| &*call.plugin == plugin)
            .map(|call| call.cpu.saturating_sub(cpu).max(call.wall.saturating_sub(wall)));
        Times::new(over.collect())
    }
}

impl Beside {
    /// Each is a task of its own, as in a server.
    fn begin(field: &Arc<Field>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (timed, field, served) = (over.clone(), field.clone(), over.clone());
        Self {
            over,
            timer: Handle::current().spawn(async move { lateness(&timed).await }),
            honest: Handle::current().spawn(async move { field.honest(&served).await }),
        }
    }

    async fn end(self) -> Result<(Times, Vec<Duration>, Vec<String>)> {
        self.over.store(true, Ordering::Relaxed);
        let (times, failed) = self.honest.await??;
        Ok((self.timer.await?, times, failed))
    }
}

fn is_well(attack: &Attack, ended: &str) -> bool {
    match attack.ends {
        Ends::Error(codes) => codes.contains(&ended),
        Ends::Answer(answer) => ended.strip_prefix("answered: ") == Some(answer),
    }
}

/// For the table: an answer has no code.
fn shown(ended: &str) -> String {
    ended.split(": ").next().unwrap_or(ended).to_owned()
}
