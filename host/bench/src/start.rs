//! Opening a runtime with 50 plugins, compiled and not.

use std::path::Path;
use std::time::Instant;

use sandbar::Journal;

use crate::measure::{Stopwatch, show};
use crate::table::Table;
use crate::world::{ECHO_AGENT, World};

const PLUGINS: usize = 50;

pub(crate) async fn rows(guests: &Path, table: &mut Table) -> anyhow::Result<()> {
    let world = World::new(guests, &["echo"], ECHO_AGENT, "[[reply]]\ntext = \"x\"\n")?;
    let directory = world.directory.path().join("plugins");
    let component = std::fs::read(directory.join("echo.wasm"))?;
    for n in 0..PLUGINS - 1 {
        // An empty custom section with a name of its own makes each another component.
        let name = format!("copy{n:04}");
        let mut bytes = component.clone();
        bytes.extend([0, u8::try_from(name.len() + 1)?, u8::try_from(name.len())?]);
        bytes.extend(name.as_bytes());
        std::fs::write(directory.join(format!("{name}.wasm")), bytes)?;
    }
    let started = Instant::now();
    world.open(Journal::Disk).await?.close().await;
    let cold = started.elapsed();
    let mut watch = Stopwatch::start();
    for _ in 0..20 {
        watch
            .time(async {
                world.open(Journal::Disk).await?.close().await;
                anyhow::Ok(())
            })
            .await?;
    }
    let cached = watch.stop();
    table.row(
        &format!("open with {PLUGINS} plugins, compiled before"),
        cached.show(),
        format!("compiling them first: {}", show(cold)),
        crate::measure::ratio(cached.percentile(50), cold),
        "≤ 30 ms",
    );
    Ok(())
}
