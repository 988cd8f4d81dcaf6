//! Resident memory, in a process of its own: idle, and with thousands of sessions that wait for a model.

use std::process::Command;

use anyhow::Context;
use sandbar::Journal;
use sandbar::protocol::{EventBody, RunRequest, StreamItem};

use crate::measure::resident;
use crate::table::Table;
use crate::world::World;

pub(crate) const CHILD: &str = "--memory";
const WAITING: u64 = 10_000;

const AGENT: &str = r#"
default_agent = "main"
[models.script]
provider = "scripted"
script = "replies.toml"
[models.stuck]
provider = "scripted"
script = "stuck.toml"
[agents.main]
model = "script"
[agents.waiting]
model = "stuck"
"#;

pub(crate) fn rows(table: &mut Table) -> anyhow::Result<()> {
    let output = Command::new(std::env::current_exe()?).arg(CHILD).output()?;
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [empty, idle, waiting] = figures[..] else {
        anyhow::bail!(
            "the measuring process said {text:?} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    table.row(
        "resident memory, idle after one turn",
        format!("{:.1} MB", idle as f64 / 1e6),
        format!("the process before it opens anything: {:.1} MB", empty as f64 / 1e6),
        Some(idle as f64 / empty.max(1) as f64),
        "≤ 40 MB",
    );
    table.row(
        "each of 10,000 sessions that wait for a model",
        format!("{:.1} KB", waiting.saturating_sub(idle) as f64 / WAITING as f64 / 1e3),
        "idle",
        None,
        "≤ 10 KB",
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the parent reads the figures")]
pub(crate) fn child(_: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let empty = resident();
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::new(std::path::Path::new(""), &[], AGENT, "[[reply]]\ntext = \"x\"\n")?;
        std::fs::write(world.directory.path().join("stuck.toml"), "[[reply]]\nhang = true\n")?;
        let runtime = world.open(Journal::Disk).await?;
        runtime.run(RunRequest::new("hello")).await?.result().await?;
        let idle = resident();
        let mut streams = Vec::new();
        for _ in 0..WAITING {
            let request = RunRequest {
                agent: Some("waiting".to_owned()),
                ..RunRequest::new("wait")
            };
            let mut stream = runtime.run(request).await?;
            loop {
                match stream.next().await.context("the run ended")?? {
                    StreamItem::Event(event) if matches!(event.body, EventBody::ModelStarted { .. }) => break,
                    _ => {}
                }
            }
            streams.push(stream);
        }
        println!("{empty} {idle} {}", resident());
        // Ten thousand runs that never end are let go with the process.
        std::process::exit(0);
    })
}
