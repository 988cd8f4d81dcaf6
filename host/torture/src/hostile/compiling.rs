//! Attacks that only have to be in the directory: on the compiler, and on whoever asks what a plugin is.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sandbar::plugins::Status;
use sandbar_torture::attacks::{Attack, Ends};
use sandbar_torture::components::Components;

use super::gauge::{peak, reset_peak};
use super::world::World;

/// How a file was refused.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) attack: &'static Attack,
    /// The code of the error.
    pub(crate) ended: String,
    pub(crate) well: bool,
    pub(crate) took: Duration,
    /// What this process needed more than before, in bytes.
    pub(crate) grown: u64,
}

impl Loaded {
    /// Whether its code was run before it was refused.
    pub(crate) fn has_run(&self) -> bool {
        const BY_RUNNING: [&str; 5] = [
            "bad-describe",
            "cpu-limit",
            "memory-limit",
            "plugin-trapped",
            "transfer-limit",
        ];
        BY_RUNNING.contains(&self.ended.as_str())
    }
}

pub(crate) async fn load(components: &Components, attack: &'static Attack) -> Result<Loaded> {
    // What every runtime compiles is compiled first, so that it isn't measured; then the file is there.
    let world = World::new(components, &[])?;
    world.open().await?.close().await;
    world.add(components, attack.component())?;
    let before = reset_peak()?;
    let begun = Instant::now();
    let runtime = world.open().await?;
    let took = begun.elapsed();
    let grown = peak()?.saturating_sub(before);
    let plugin = runtime
        .plugins()
        .get(attack.component())
        .context("the plugin is not listed")?;
    let ended = match &plugin.status {
        Status::Broken(error) => error.code.clone(),
        Status::Ready(_) => "can be used".to_owned(),
    };
    runtime.close().await;
    let well = matches!(attack.ends, Ends::Error(codes) if codes.contains(&ended.as_str()));
    Ok(Loaded {
        attack,
        ended,
        well,
        took,
        grown,
    })
}
