//! A run that was cut off at the end of a long session goes on, beside the reading of that session alone.

use std::path::Path;

use anyhow::Context;
use sandbar::protocol::{Event, EventBody, RunId, SessionId, StreamItem};
use sandbar::store::{NewWorkspace, Store, StoreOptions};
use sandbar::{Attended, Journal};

use crate::measure::{Laps, ratio};
use crate::table::Table;
use crate::world::{ECHO_AGENT, World, turn, turns_script};

/// Each has twelve events.
const TURNS: usize = 832;
/// Calls that the last run has made before it is cut off.
const CALLS: usize = 3;
const REPEATS: usize = 100;
/// As many as the runtime reads at a time.
const PAGE: usize = 512;

pub(crate) async fn rows(guests: &Path, table: &mut Table) -> anyhow::Result<()> {
    let world = World::new(guests, &["echo"], ECHO_AGENT, &script())?;
    let data = world.config()?.data_dir;
    let (events, session, run) = record(&world).await?;
    write_anew(&data, &events).await?;
    let written = std::fs::read(data.join(DATABASE))?;
    let (mut going_on, mut reading) = (Laps::default(), Laps::default());
    for _ in 0..REPEATS {
        restore(&data, &written)?;
        let store = Store::open(&data, StoreOptions::default())?;
        let read = reading.time(async { read(&store, &session) }).await?;
        anyhow::ensure!(read.len() == events.len(), "{} events were read", read.len());
        drop(store);
        restore(&data, &written)?;
        go_on(&world, &run, &mut going_on).await?;
    }
    let (going_on, reading) = (going_on.stop(), reading.stop());
    table.row(
        &format!(
            "a session of {} events: from the open runtime to the first new event of a run that was cut off",
            events.len()
        ),
        going_on.show(),
        format!("reading and checking the events: {}", reading.show()),
        ratio(going_on.percentile(50), reading.percentile(50)),
        "–",
    );
    Ok(())
}

fn script() -> String {
    let call = "[[reply]]\ncalls = [ { name = \"echo__echo\", arguments = { text = \"again\" } } ]\n";
    format!(
        "{}{}[[reply]]\ntext = \"done\"\nchunk = 1000\n",
        turns_script(TURNS),
        call.repeat(CALLS)
    )
}

/// The journal of a session whose last run has no end: its last event is the outcome of its last call.
async fn record(world: &World) -> anyhow::Result<(Vec<Event>, SessionId, RunId)> {
    let runtime = world.open(Journal::Disk).await?;
    let session = turn(&runtime, None).await?.session;
    for _ in 1..TURNS {
        turn(&runtime, Some(session.clone())).await?;
    }
    let run = turn(&runtime, Some(session.clone())).await?.run;
    runtime.close().await;
    let mut events = read(runtime.store(), &session)?;
    let last = events
        .iter()
        .rposition(|event| matches!(event.body, EventBody::ToolFinished { .. }))
        .context("the last run calls no tool")?;
    events.truncate(last + 1);
    Ok((events, session, run))
}

const DATABASE: &str = "sandbar.db";

/// Puts those events into a journal of their own, in place of the one that they are from.
async fn write_anew(data: &Path, events: &[Event]) -> anyhow::Result<()> {
    let session = &events.first().context("no events")?.session;
    let (origin, workspace) = {
        let store = Store::open(data, StoreOptions::default())?;
        let origin = store.session_origin(session)?.context("no session")?;
        let id = origin.workspace.clone().context("no workspace")?;
        (origin, store.workspace(&id)?.context("no workspace")?)
    };
    remove(data)?;
    let store = Store::open(data, StoreOptions::default())?;
    let workspace = NewWorkspace {
        id: workspace.id,
        kind: workspace.kind,
        path: workspace.path,
    };
    let writer = store.begin_session(origin, Some(workspace))?;
    for event in events {
        writer.append(&event.run, event.body.clone()).await?;
    }
    writer.flush().await?;
    writer.close().await?;
    Ok(())
}

fn read(store: &Store, session: &SessionId) -> anyhow::Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let page = store.events(session, events.len() as u64, PAGE)?;
        if page.is_empty() {
            return Ok(events);
        }
        events.extend(page);
    }
}

async fn go_on(world: &World, run: &RunId, laps: &mut Laps) -> anyhow::Result<()> {
    let runtime = world.open(Journal::Disk).await?;
    let stream = laps
        .time(async {
            let mut stream = runtime.resume(run, Attended::Nobody).await?;
            loop {
                if let StreamItem::Event(_) = stream.next().await.context("the run waits")?? {
                    return anyhow::Ok(stream);
                }
            }
        })
        .await?;
    let result = stream.result().await?;
    anyhow::ensure!(result.error.is_none() && result.text == "done", "{result:?}");
    runtime.close().await;
    Ok(())
}

fn restore(data: &Path, database: &[u8]) -> anyhow::Result<()> {
    remove(data)?;
    std::fs::write(data.join(DATABASE), database)?;
    Ok(())
}

/// Its log and its shared memory are gone with the last connection, unless one of them is still there.
fn remove(data: &Path) -> anyhow::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let path = data.join(format!("{DATABASE}{suffix}"));
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
        }
    }
    Ok(())
}
