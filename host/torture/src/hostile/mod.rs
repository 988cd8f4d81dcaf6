//! Hostile components, each alone and then many at once: how it ended, what an honest session beside it felt, what the process needed.

mod compiling;
mod gauge;
mod report;
mod trial;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use sandbar_torture::attacks::{Way, all};
use sandbar_torture::components::Components;

pub(crate) use report::Report;

/// Begin every attack, alone and many times at once.
#[derive(Debug, Args)]
pub(crate) struct Hostile {
    /// How many at once.
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// One attack, by its name in the table.
    #[arg(long)]
    only: Option<String>,
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
        let wanted = |name: &str| self.only.as_deref().is_none_or(|only| only == name);
        let attacks: Vec<_> = all().filter(|attack| wanted(attack.name)).collect();
        ensure!(
            !attacks.is_empty(),
            "no attack is called so; `host/torture/src/attacks.rs` lists them"
        );
        let runtime = sandbar::threads().build()?;
        let mut report = Report::new(self.count);
        runtime.block_on(async {
            for attack in attacks.iter().filter(|attack| attack.way == Way::Loaded) {
                report.loaded.push(compiling::load(&components, attack).await?);
            }
            let at_work: Vec<_> = attacks
                .iter()
                .copied()
                .filter(|attack| attack.way != Way::Loaded)
                .collect();
            if !at_work.is_empty() {
                let field = trial::Field::open(&components, &at_work).await?;
                report.idle = field.idle().await?;
                for attack in at_work {
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
