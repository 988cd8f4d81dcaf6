//! Death of the process: a program that embeds Sandbar is killed at named points and at any time, and others go on with what it leaves.

mod check;
mod child;
mod elsewhere;
mod history;
mod kept;
mod life;
mod server;
mod tools;
mod trial;
mod world;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

pub(crate) use child::KillChild;
use trial::{Reference, Trial};
use world::Common;

use crate::parallel;
use crate::table::Table;

/// Kill the process at every point, and have others go on.
#[derive(Debug, Clone, Args)]
pub(crate) struct Kill {
    /// How many trials, one point after the other. Default: one for each point, and some at any time.
    #[arg(long)]
    count: Option<u64>,
    /// The seed of the first trial; each further one has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write no intents of tool calls: the harness must find double calls then.
    #[arg(long)]
    without_intents: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The directory of the tests' components. Default: where `cargo xtask test` builds them.
    #[arg(long)]
    guests: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Report {
    kill: Kill,
    trials: Vec<Trial>,
    took: Duration,
}

impl Kill {
    pub(crate) fn run(self) -> Result<Report> {
        let common = Common::new(&self.guests()?)?;
        let reference = Reference::find(&common)?;
        let begun = Instant::now();
        let trials = parallel::each(self.count.unwrap_or_else(Trial::round), |index| {
            let seed = self.seed.wrapping_add(index);
            Trial::run(&common, &reference, seed, self.without_intents)
        })?;
        Ok(Report {
            kill: self,
            trials,
            took: begun.elapsed(),
        })
    }

    /// Beside the folder of this program's profile.
    fn guests(&self) -> Result<PathBuf> {
        if let Some(guests) = &self.guests {
            return Ok(guests.clone());
        }
        let program = std::env::current_exe().context("this program can't find itself")?;
        let target = program
            .ancestors()
            .nth(2)
            .context("this program is in no folder of a folder")?;
        Ok(target.join("guests-tests/wasm32-wasip2/release/examples"))
    }
}

impl Report {
    pub(crate) fn passed(&self) -> bool {
        self.bad().next().is_none()
    }

    fn bad(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|trial| !trial.problems.is_empty())
    }

    /// Trials by what they are for, in the order of the points.
    fn places(&self) -> Vec<(&'static str, Vec<&Trial>)> {
        let mut places: Vec<(&str, Vec<&Trial>)> = Vec::new();
        for trial in &self.trials {
            match places.iter_mut().find(|(place, _)| *place == trial.place) {
                Some((_, trials)) => trials.push(trial),
                None => places.push((trial.place, vec![trial])),
            }
        }
        places
    }

    fn kills_a_minute(&self) -> f64 {
        sum(&self.trials, |trial| trial.kills) as f64 * 60.0 / self.took.as_secs_f64()
    }

    /// Of a hundred recoveries, `percent` took no longer, in milliseconds.
    fn recovery_ms(&self, percent: usize) -> u128 {
        let mut all: Vec<Duration> = self
            .trials
            .iter()
            .flat_map(|trial| trial.recoveries.iter().copied())
            .collect();
        all.sort_unstable();
        let index = (all.len() * percent).div_ceil(100).saturating_sub(1);
        all.get(index).map_or(0, Duration::as_millis)
    }

    fn json(&self) -> Value {
        let places = self.places();
        let places: Vec<Value> = places.iter().map(|(place, trials)| row(place, trials)).collect();
        let failures = self
            .bad()
            .map(|trial| json!({ "seed": trial.seed, "place": trial.place, "problems": trial.problems }));
        json!({
            "places": places,
            "total": row("all", &self.trials.iter().collect::<Vec<_>>()),
            "seconds": self.took.as_secs_f64(),
            "kills_per_minute": self.kills_a_minute(),
            "recoveries": sum(&self.trials, |trial| trial.recoveries.len() as u64),
            "recovery_ms": { "p50": self.recovery_ms(50), "p99": self.recovery_ms(99), "max": self.recovery_ms(100) },
            "failures": failures.collect::<Vec<_>>(),
        })
    }

    fn repeat(&self, trial: &Trial) -> String {
        let more = if self.kill.without_intents {
            " --without-intents"
        } else {
            ""
        };
        format!("cargo xtask torture kill --count 1 --seed {}{more}", trial.seed)
    }
}

const COLUMNS: [&str; 7] = [
    "place",
    "trials",
    "kills",
    "resumed",
    "acknowledged",
    "double_calls",
    "violations",
];

fn row(place: &str, trials: &[&Trial]) -> Value {
    let sum = |figure: fn(&Trial) -> u64| sum(trials.iter().copied(), figure);
    json!({
        "place": place,
        "trials": trials.len(),
        "kills": sum(|trial| trial.kills),
        "resumed": sum(|trial| trial.resumed),
        "acknowledged": sum(|trial| trial.acknowledged),
        "double_calls": sum(|trial| trial.double_calls),
        "violations": sum(|trial| trial.problems.len() as u64),
    })
}

fn sum<'a>(trials: impl IntoIterator<Item = &'a Trial>, figure: fn(&Trial) -> u64) -> u64 {
    trials.into_iter().map(figure).sum()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kill.json {
            return write!(f, "{:#}", self.json());
        }
        let mut table = Table::new(&COLUMNS.map(|column| {
            if column == "double_calls" {
                "double calls"
            } else {
                column
            }
        }));
        let all = self.trials.iter().collect();
        for (place, trials) in self.places().into_iter().chain([("all", all)]) {
            let row = row(place, &trials);
            table.row(COLUMNS.map(|column| row[column].to_string().replace('"', "")));
        }
        writeln!(
            f,
            "{table}\n{:.1} s, {:.0} kills a minute; from the start of a successor to its first event: {} ms p50, {} ms p99, {} ms at most",
            self.took.as_secs_f64(),
            self.kills_a_minute(),
            self.recovery_ms(50),
            self.recovery_ms(99),
            self.recovery_ms(100)
        )?;
        for trial in self.bad().take(10) {
            writeln!(f, "\n{}: {}", trial.place, self.repeat(trial))?;
            for problem in trial.problems.iter().take(8) {
                writeln!(f, "  {problem}")?;
            }
        }
        Ok(())
    }
}
