//! Hostile components, each alone and then many at once: how it ended, what an honest session beside it felt, what the process needed.

mod compiling;
mod gauge;
mod report;
mod trial;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use sandbar_torture::attacks::{Attack, Way, all};
use sandbar_torture::components::Components;

pub(crate) use report::Report;

/// Begin every attack, alone and many times at once.
#[derive(Debug, Args)]
pub(crate) struct Hostile {
    /// How many at once.
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// An attack, by its name in the table; may be said again. All the others are there as well, so that its row can be compared.
    #[arg(long)]
    only: Vec<String>,
    /// Write the table as a page, too.
    #[arg(long)]
    write: Option<PathBuf>,
    /// The directory of the tests' components. Default: where `cargo xtask test` builds them.
    #[arg(long)]
    guests: Option<PathBuf>,
}

impl Hostile {
    pub(crate) fn run(self) -> Result<Report> {
        let components = Components::new(
            std::path::Path::new("tests/guests"),
            &guests_in(self.guests.as_deref())?,
        );
        for name in &self.only {
            ensure!(
                all().any(|attack| attack.name == name),
                "no attack is called `{name}`; `host/torture/src/attacks.rs` lists them"
            );
        }
        let is_wanted = |attack: &&Attack| self.only.is_empty() || self.only.iter().any(|name| name == attack.name);
        let (loaded, at_work): (Vec<_>, Vec<_>) = all().partition(|attack| attack.way == Way::Loaded);
        let runtime = sandbar::threads().build()?;
        let mut report = Report::new(self.count);
        runtime.block_on(async {
            for attack in loaded.into_iter().filter(is_wanted) {
                report.loaded.push(compiling::load(&components, attack).await?);
            }
            if at_work.iter().any(is_wanted) {
                let field = trial::Field::open(&components, &at_work).await?;
                report.idle = field.idle().await?;
                for attack in at_work.into_iter().filter(is_wanted) {
                    report.ran.push(field.run(attack, self.count).await?);
                }
                field.close().await;
            }
            anyhow::Ok(())
        })?;
        if let Some(path) = &self.write {
            std::fs::write(path, report.page()).with_context(|| format!("can't write `{}`", path.display()))?;
        }
        Ok(report)
    }
}

/// Where the tests' components are: as named, or beside the folder of this program's profile.
pub(crate) fn guests_in(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let program = std::env::current_exe().context("this program can't find itself")?;
    let target = program
        .ancestors()
        .nth(2)
        .context("this program lies in no target directory")?;
    Ok(target.join("guests-tests/wasm32-wasip2/release/examples"))
}
