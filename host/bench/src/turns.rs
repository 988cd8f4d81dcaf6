//! One turn: two model calls (scripted), one Wasm tool in a fresh store, the Wasm pattern.

use std::path::Path;
use std::time::Duration;

use sandbar::Journal;

use crate::measure::{Stopwatch, ratio};
use crate::table::Table;
use crate::world::{ECHO_AGENT, World, turn, turns_script};

const TURNS: usize = 2_000;

/// The best of the four Python systems for the same turn, in memory and unsandboxed (measured elsewhere, quoted in the design).
const PYTHON: Duration = Duration::from_micros(150);

/// One group each, so that a profile can be taken of one alone.
pub(crate) const GROUPS: [(&str, Journal); 2] = [("turns-memory", Journal::Memory), ("turns-durable", Journal::Disk)];

pub(crate) async fn row(guests: &Path, journal: Journal, table: &mut Table) -> anyhow::Result<()> {
    let world = World::new(guests, &["echo"], ECHO_AGENT, &turns_script(1))?;
    let (name, goal) = match journal {
        Journal::Memory => ("journal in memory", "CPU ≤ 100 µs"),
        Journal::Disk => ("durable", "CPU ≤ 200 µs"),
    };
    let runtime = world.open(journal).await?;
    for _ in 0..50 {
        turn(&runtime, None).await?;
    }
    let commits = runtime.store().commits();
    let mut watch = Stopwatch::start();
    for _ in 0..TURNS {
        watch.time(turn(&runtime, None)).await?;
    }
    let samples = watch.stop();
    let commits = (runtime.store().commits() - commits) as f64 / TURNS as f64;
    table.row(
        &format!("one turn in a new session, {name}"),
        format!("{}, {commits:.1} commits", samples.show()),
        "the leanest Python runtime, in memory, no sandbox: CPU 150 µs (quoted)",
        ratio(samples.cpu_each(), PYTHON),
        goal,
    );
    runtime.close().await;
    Ok(())
}
