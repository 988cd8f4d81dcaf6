//! What a turn costs at the start of a session and after thousands of events.

use sandbar::Journal;

use crate::measure::{Stopwatch, ratio};
use crate::table::Table;
use crate::world::{World, turn};

/// Events of one turn without a tool: `run.started`, two steps, the model call, `run.finished`.
const EVENTS_PER_TURN: usize = 6;
const LONG: usize = 10_000 / EVENTS_PER_TURN;
const SAMPLES: usize = 100;
/// Turns of other sessions before the first: while the journal's log grows to its size, a commit costs more.
const BEFORE: usize = 300;

const AGENT: &str = r#"
[models.script]
provider = "scripted"
script = "replies.toml"
[agents.main]
model = "script"
"#;

pub(crate) async fn rows(table: &mut Table) -> anyhow::Result<()> {
    let script = "[[reply]]\ntext = \"done\"\nchunk = 1000\n".repeat(LONG + 2 * SAMPLES);
    let world = World::new(std::path::Path::new(""), &[], AGENT, &script)?;
    let runtime = world.open(Journal::Disk).await?;
    for _ in 0..BEFORE {
        turn(&runtime, None).await?;
    }
    let session = turn(&runtime, None).await?.session;
    let mut early = Stopwatch::start();
    for _ in 0..SAMPLES {
        early.time(turn(&runtime, Some(session.clone()))).await?;
    }
    let early = early.stop();
    for _ in SAMPLES..LONG {
        turn(&runtime, Some(session.clone())).await?;
    }
    let mut late = Stopwatch::start();
    for _ in 0..SAMPLES {
        late.time(turn(&runtime, Some(session.clone()))).await?;
    }
    let late = late.stop();
    table.row(
        "a turn after 10,000 events of history (without a tool, durable)",
        late.show(),
        format!("in the first 100 turns: {}", early.show()),
        ratio(late.cpu_each(), early.cpu_each()),
        "≤ 1.1",
    );
    runtime.close().await;
    Ok(())
}
