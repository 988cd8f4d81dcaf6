//! `cargo xtask torture race`: a guest goes through a directory that is swapped, without a pause, for a link that leads out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sandbar::protocol::{EventBody, RunRequest, StreamItem, ToolOutcome};
use sandbar::{Config, Journal, OpenOptions, Runtime};
use serde::Deserialize;

use crate::hostile::guests_in;

/// Let a guest and the host race for a name.
#[derive(Debug, Args)]
pub(crate) struct Race {
    /// The directory of the tests' components. Default: where `cargo xtask test` builds them.
    #[arg(long)]
    guests: Option<PathBuf>,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// What the guest met.
#[derive(Debug, Default)]
pub(crate) struct Report {
    met: Met,
    swaps: u64,
    /// Entries in the directory outside that nobody put there.
    strangers: Vec<String>,
    took: Duration,
}

#[derive(Debug, Default, Deserialize)]
struct Met {
    inside: u64,
    outside: u64,
    nothing: u64,
}

const CONFIG: &str = r#"
workspace = "work"
[plugins]
directories = ["plugins"]
[models.script]
provider = "scripted"
script = "replies.toml"
[limits]
cpu_ms = 120000
wall_ms = 120000
[grants.racer]
files = "read-write"
[agents.main]
model = "script"
plugins = ["racer"]
"#;

const SCRIPT: &str = r#"
[[reply]]
calls = [ { name = "racer__race", arguments = { times = 2000 } } ]
[[reply]]
text = "done"
"#;

impl Race {
    pub(crate) fn run(self) -> Result<Report> {
        let directory = tempfile::tempdir()?;
        let root = directory.path();
        for name in ["plugins", "work/swap", "outside"] {
            std::fs::create_dir_all(root.join(name))?;
        }
        let guest = guests_in(self.guests.as_deref())?.join("racer.wasm");
        std::fs::copy(&guest, root.join("plugins/racer.wasm"))
            .with_context(|| format!("can't copy {}", guest.display()))?;
        std::fs::write(root.join("work/swap/x.txt"), "inside")?;
        std::fs::write(root.join("outside/x.txt"), "outside")?;
        std::fs::write(root.join("replies.toml"), SCRIPT)?;
        std::os::unix::fs::symlink("../outside", root.join("work/link"))?;
        let (over, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
        let begun = Instant::now();
        let met = std::thread::scope(|scope| {
            scope.spawn(|| swap(&root.join("work"), &over, &swaps));
            let runtime = tokio::runtime::Runtime::new().context("no threads for the runtime");
            let met = runtime.and_then(|runtime| runtime.block_on(rounds(root, Duration::from_secs(self.seconds))));
            over.store(true, Ordering::Relaxed);
            met
        })?;
        ensure!(
            met.inside > 0 && met.nothing > 0,
            "the guest never met both: there was no race: {met:?}"
        );
        Ok(Report {
            met,
            swaps: swaps.into_inner(),
            strangers: strangers(&root.join("outside"))?,
            took: begun.elapsed(),
        })
    }
}

/// Until it is over, or the names are gone, which the report shows.
fn swap(work: &Path, over: &AtomicBool, swaps: &AtomicU64) {
    let (directory, link) = (work.join("swap"), work.join("link"));
    while !over.load(Ordering::Relaxed) && renameat_with(CWD, &directory, CWD, &link, RenameFlags::EXCHANGE).is_ok() {
        swaps.fetch_add(1, Ordering::Relaxed);
    }
}

async fn rounds(root: &Path, time: Duration) -> Result<Met> {
    let begun = Instant::now();
    let mut sum = Met::default();
    while begun.elapsed() < time {
        let met = round(root).await?;
        sum.inside += met.inside;
        sum.outside += met.outside;
        sum.nothing += met.nothing;
    }
    Ok(sum)
}

/// A runtime for each: its script is told from the beginning.
async fn round(root: &Path) -> Result<Met> {
    let config = Config::from_toml(CONFIG, root).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let options = OpenOptions {
        journal: Journal::Memory,
        ..OpenOptions::default()
    };
    let runtime = Runtime::open_with(config, options).await?;
    let mut stream = runtime.run(RunRequest::new("go")).await?;
    let mut met = None;
    while let Some(item) = stream.next().await {
        if let StreamItem::Event(event) = item?
            && let EventBody::ToolFinished { outcome, .. } = &event.body
        {
            met = Some(match outcome {
                ToolOutcome::Output(output) => serde_json::from_str(&output.text)?,
                ToolOutcome::Error(error) => anyhow::bail!("{error}"),
            });
        }
    }
    met.context("the guest was not called")
}

fn strangers(directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "x.txt" || std::fs::read_to_string(directory.join(&name))? != "outside" {
            found.push(name);
        }
    }
    Ok(found)
}

impl Report {
    pub(crate) fn passed(&self) -> bool {
        self.met.outside == 0 && self.strangers.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Met {
            inside,
            outside,
            nothing,
        } = self.met;
        writeln!(f, "race: {} swaps in {:.0} s", self.swaps, self.took.as_secs_f64())?;
        writeln!(
            f,
            "  read inside   {inside:>9}\n  refused       {nothing:>9}\n  read outside  {outside:>9}"
        )?;
        write!(f, "  made outside  {:>9}", self.strangers.len())
    }
}
