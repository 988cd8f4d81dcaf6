//! Loss of power: many states that a disk may be left in, each opened and held against what was acknowledged.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::chance::Chance;
use crate::disk::{Counts, Disk, Files, OPERATIONS, Syncs};
use crate::ledger::Ledger;
use crate::parallel;
use crate::scratch;
use crate::table::Table;
use crate::verify::{self, Findings};
use crate::workload::{Step, Workload};

/// Lose power in the middle of writing, and see what is left.
#[derive(Debug, Clone, Args)]
pub(crate) struct Power {
    /// How many states.
    #[arg(long, default_value_t = 50)]
    count: u64,
    /// The seed of the first state; each further one has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let the disk ignore every sync: the harness must find losses then.
    #[arg(long)]
    without_sync: bool,
}

#[derive(Debug)]
pub(crate) struct Report {
    power: Power,
    states: Vec<State>,
    took: Duration,
}

/// What became of one seed.
#[derive(Debug)]
struct State {
    seed: u64,
    losses_of_power: usize,
    counts: Counts,
    acknowledged: u64,
    /// The same of rows beside the events, by their kind.
    beside: [(&'static str, u64); 5],
    findings: Findings,
}

impl Power {
    pub(crate) fn run(self) -> Result<Report> {
        let begun = Instant::now();
        let syncs = if self.without_sync {
            Syncs::Swallowed
        } else {
            Syncs::Honoured
        };
        let states = parallel::each(self.count, |index| state(self.seed.wrapping_add(index), syncs))?;
        Ok(Report {
            power: self,
            states,
            took: begun.elapsed(),
        })
    }
}

impl Report {
    pub(crate) fn passed(&self) -> bool {
        self.bad().next().is_none()
    }

    fn bad(&self) -> impl Iterator<Item = &State> {
        self.states.iter().filter(|state| !state.findings.are_none())
    }
}

/// One state: a store works on a disk until the power is lost, perhaps again while the next process recovers, and is looked at.
fn state(seed: u64, syncs: Syncs) -> Result<State> {
    let mut chance = Chance::new(seed);
    let mut ledger = Ledger::default();
    let mut findings = Findings::default();
    let (mut files, mut counts) = (Files::new(), Counts::default());
    let losses_of_power = if chance.percent(25) { 2 + chance.below(2) } else { 1 };
    for life in 0..losses_of_power {
        let directory = scratch::directory()?;
        let mounted = Disk::mount(directory.path(), files, syncs).context("the disk can't be set up")?;
        live(&mounted.0, &mut ledger, &mut chance, life > 0, &mut findings);
        files = mounted.0.after_power_loss(&mut chance);
        counts.add(&mounted.0.counts());
    }
    let directory = scratch::directory()?;
    for (name, bytes) in &files {
        std::fs::write(directory.path().join(name), bytes).context("the state can't be written")?;
    }
    // What was found to be lost is no longer in the ledger.
    let acknowledged = ledger.acknowledged() + findings.lost;
    let left = verify::check(directory.path(), &ledger);
    findings.does_not_open |= left.does_not_open;
    findings.lost += left.lost;
    findings.problems.extend(left.problems);
    Ok(State {
        seed,
        losses_of_power,
        counts,
        acknowledged,
        beside: ledger.beside.acknowledged(),
        findings,
    })
}

/// One process, from its start to the loss of power.
fn live(disk: &Disk, ledger: &mut Ledger, chance: &mut Chance, recovers: bool, findings: &mut Findings) {
    let steps = steps(chance);
    // A process that recovers mostly loses power while it does.
    let last = if recovers && chance.percent(60) {
        0
    } else {
        chance.below(steps.len() + 1)
    };
    let more = 1 << chance.below(10);
    let more = chance.below(more) as u64;
    let mut workload = Workload::new(disk, ledger, chance);
    for (index, step) in steps.into_iter().enumerate() {
        if index == last {
            disk.lose_power_in(more);
        }
        workload.step(step);
        if disk.has_lost_power() {
            break;
        }
        let failed = workload.errors.drain(..);
        findings
            .problems
            .extend(failed.map(|error| format!("before the power was lost: {error:?}")));
    }
    // Where the steps were over before, it is lost now.
    disk.lose_power();
    findings.lost += workload.lost;
    findings.problems.append(&mut workload.problems);
}

/// Mostly short lives with checkpoints that others ask for, and closings; some long ones, in which the log fills up by itself.
fn steps(chance: &mut Chance) -> Vec<Step> {
    let mut steps = vec![Step::Begin, Step::Begin];
    let (count, large, others) = if chance.percent(12) {
        (150, 20, 0)
    } else {
        (6 + chance.below(20), 5, 15)
    };
    for _ in 0..count {
        steps.push(if chance.percent(others) {
            Step::Checkpoint(chance.pick(&["PASSIVE", "FULL", "RESTART", "TRUNCATE"]))
        } else if chance.percent(others / 2) {
            Step::Close
        } else if chance.percent(5) {
            Step::Begin
        } else if chance.percent(8) {
            Step::Question
        } else if chance.percent(8) {
            Step::Beside(6)
        } else {
            Step::Append { most: 12, large }
        });
    }
    steps.push(Step::Close);
    steps
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = Counts::default();
        for state in &self.states {
            counts.add(&state.counts);
        }
        let sum = |figure: fn(&State) -> u64| self.states.iter().map(figure).sum::<u64>();
        let again = sum(|state| u64::from(state.losses_of_power > 1));
        let seconds = self.took.as_secs_f64();
        let operations: Vec<String> = OPERATIONS
            .iter()
            .map(|&operation| format!("{} {}", counts.of(operation), operation.name()))
            .collect();
        let mut table = Table::new(&["loss of power", "figure"]);
        let mut row = |what: &str, figure: String| table.row([what.to_owned(), figure]);
        row("states of the disk", self.states.len().to_string());
        row(
            "of these with a further loss of power while recovering",
            again.to_string(),
        );
        row("operations on the disk", operations.join(", "));
        row("write-ahead logs begun or begun again", counts.wal_starts.to_string());
        row("acknowledged events", sum(|state| state.acknowledged).to_string());
        row("acknowledged rows beside them", beside(&self.states));
        row(
            "acknowledged events and rows lost",
            sum(|state| state.findings.lost).to_string(),
        );
        row(
            "states that don't open",
            sum(|state| u64::from(state.findings.does_not_open)).to_string(),
        );
        row("states with anything wrong", self.bad().count().to_string());
        row(
            "duration",
            format!(
                "{seconds:.1} s, {:.0} states each second",
                self.states.len() as f64 / seconds
            ),
        );
        write!(f, "{table}")?;
        self.show_bad(f)
    }
}

/// So many of each kind.
fn beside(states: &[State]) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, count) in states.iter().flat_map(|state| state.beside) {
        *sums.entry(kind).or_default() += count;
    }
    let parts: Vec<String> = sums.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    parts.join(", ")
}

/// How many bad states are told in words.
const SHOWN: usize = 5;

impl Report {
    fn show_bad(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for state in self.bad().take(SHOWN) {
            let flag = if self.power.without_sync { " --without-sync" } else { "" };
            let seed = state.seed;
            writeln!(
                f,
                "\nseed {seed}, to repeat it: cargo xtask torture power{flag} --count 1 --seed {seed}"
            )?;
            for problem in state.findings.problems.iter().take(SHOWN) {
                writeln!(f, "  {problem}")?;
            }
        }
        let more = self.bad().count().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(f, "\n{more} more states are bad")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(count: u64, seed: u64, without_sync: bool) -> Report {
        let power = Power {
            count,
            seed,
            without_sync,
        };
        power.run().unwrap()
    }

    #[test]
    fn nothing_acknowledged_is_lost_with_the_power() {
        let report = run(50, 1, false);
        assert!(report.passed(), "{report}");
        // It has been put to the test: events were acknowledged, and logs were begun again after a checkpoint.
        let acknowledged: u64 = report.states.iter().map(|state| state.acknowledged).sum();
        let wal_starts: u64 = report.states.iter().map(|state| state.counts.wal_starts).sum();
        assert!(acknowledged > 500 && wal_starts > 100, "{report}");
        for kind in 0..report.states[0].beside.len() {
            let of_kind: u64 = report.states.iter().map(|state| state.beside[kind].1).sum();
            assert!(of_kind > 20, "{kind}: {report}");
        }
    }

    #[test]
    fn a_disk_that_ignores_syncs_is_found_out() {
        let report = run(10, 1, true);
        let lost: u64 = report.states.iter().map(|state| state.findings.lost).sum();
        assert!(lost > 0 && !report.passed(), "{report}");
    }

    #[test]
    fn a_seed_repeats_its_state() {
        let shown = |report: Report| {
            // Not how often the disk was written to: a writer that has failed is given up beside the next step, before or after its commit.
            let state = &report.states[0];
            (state.acknowledged, format!("{:?}", state.findings))
        };
        for seed in [3, 12] {
            assert_eq!(shown(run(1, seed, true)), shown(run(1, seed, true)), "{seed}");
        }
    }
}
