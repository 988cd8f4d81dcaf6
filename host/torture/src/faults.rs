//! Faults: each operation on the disk fails in turn, once or from then on, and the store must say so, lose nothing, and go on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use sandbar_protocol::{Error, ErrorKind};
use tempfile::TempDir;

use crate::chance::Chance;
use crate::disk::{Counts, Disk, Fault, Files, Mounted, OPERATIONS, Operation, Syncs};
use crate::ledger::Ledger;
use crate::parallel;
use crate::scratch;
use crate::table::Table;
use crate::verify::{self, Findings};
use crate::workload::{Step, Workload};

/// Have each operation on the disk fail in turn, and see what the store makes of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Faults {
    /// How many workloads; all their operations are tried.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// The seed of the first workload; each further one has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug)]
pub(crate) struct Report {
    trials: Vec<Trial>,
    took: Duration,
}

/// One fault in one workload.
#[derive(Debug)]
struct Trial {
    seed: u64,
    fault: Fault,
    /// The codes of the errors that the store gave, and how often.
    codes: BTreeMap<String, u64>,
    acknowledged: u64,
    /// Rows beside the events that were.
    beside: u64,
    findings: Findings,
}

/// Every kind of step, and closing and opening again in between; small, because each of its operations is a trial or four.
const STEPS: [Step; 10] = [
    Step::Begin,
    Step::Begin,
    Step::Append { most: 6, large: 100 },
    Step::Question,
    Step::Beside(5),
    Step::Checkpoint("TRUNCATE"),
    Step::Append { most: 6, large: 100 },
    Step::Close,
    Step::Append { most: 4, large: 100 },
    Step::Append { most: 2, large: 0 },
];

/// What must work once the disk does: a new session, and those that failed opened anew.
const AFTERWARDS: [Step; 3] = [Step::Begin, Step::Begin, Step::Append { most: 6, large: 10 }];

impl Faults {
    pub(crate) fn run(self) -> Result<Report> {
        let begun = Instant::now();
        let mut trials = Vec::new();
        for seed in self.seed..self.seed.saturating_add(self.count) {
            let faults = faults(&sound(seed)?.0);
            let more = parallel::each(faults.len() as u64, |index| trial(seed, faults[index as usize]))?;
            trials.extend(more);
        }
        Ok(Report {
            trials,
            took: begun.elapsed(),
        })
    }
}

/// What the workload does on a disk without a fault, and what was acknowledged.
fn sound(seed: u64) -> Result<(Counts, Ledger)> {
    let directory = scratch::directory()?;
    let mounted = mount(&directory)?;
    let (mut ledger, mut chance) = (Ledger::default(), Chance::new(seed));
    let mut workload = Workload::new(&mounted.0, &mut ledger, &mut chance);
    for step in STEPS {
        workload.step(step);
    }
    ensure!(workload.errors.is_empty(), "without a fault: {:?}", workload.errors);
    Ok((mounted.0.counts(), ledger))
}

/// Each operation that the workload does, once and lasting. A write may also find the disk full: of the others SQLite isn't told that.
fn faults(counts: &Counts) -> Vec<Fault> {
    let mut faults = Vec::new();
    for operation in OPERATIONS {
        for nth in 1..=counts.of(operation) {
            for full in [false, true] {
                for lasting in [false, true] {
                    if operation == Operation::Write || !full {
                        faults.push(Fault {
                            operation,
                            nth,
                            lasting,
                            full,
                        });
                    }
                }
            }
        }
    }
    faults
}

fn trial(seed: u64, fault: Fault) -> Result<Trial> {
    let directory = scratch::directory()?;
    let mounted = mount(&directory)?;
    let disk = &*mounted.0;
    let (mut ledger, mut chance) = (Ledger::default(), Chance::new(seed));
    disk.fail(fault);
    let mut workload = Workload::new(disk, &mut ledger, &mut chance);
    for step in STEPS {
        workload.step(step);
    }
    let mut findings = Findings::default();
    if disk.counts().faults == 0 {
        findings
            .problems
            .push("the operation that was to fail was not done".to_owned());
    }
    disk.mend();
    workload.give_up_what_failed();
    let codes = judge(&workload.errors, fault, &mut findings);
    afterwards(&mut workload, &mut findings);
    drop(workload);
    let files = disk.synced();
    check(&mounted, files, &ledger, &mut findings)?;
    Ok(Trial {
        seed,
        fault,
        codes,
        acknowledged: ledger.acknowledged(),
        beside: ledger.beside.acknowledged().iter().map(|(_, count)| count).sum(),
        findings,
    })
}

fn mount(directory: &TempDir) -> Result<Mounted> {
    Disk::mount(directory.path(), Files::new(), Syncs::Honoured).context("the disk can't be set up")
}

/// Every error has the code that its cause asks for, and says how to mend it.
fn judge(errors: &[Error], fault: Fault, findings: &mut Findings) -> BTreeMap<String, u64> {
    let wanted = if fault.full { "journal-full" } else { "journal-failed" };
    let mut codes = BTreeMap::new();
    for error in errors {
        *codes.entry(error.code.clone()).or_default() += 1;
        if error.code != wanted || error.kind != ErrorKind::Storage || error.hint.is_none() {
            findings
                .problems
                .push(format!("`{wanted}` with a hint was wanted: {error:?}"));
        }
    }
    codes
}

/// The fault is over: the same store goes on.
fn afterwards(workload: &mut Workload<'_>, findings: &mut Findings) {
    workload.errors.clear();
    for step in AFTERWARDS {
        workload.step(step);
    }
    let failed = workload.errors.drain(..);
    findings
        .problems
        .extend(failed.map(|error| format!("after the disk was mended: {error:?}")));
    if let Some(store) = workload.store() {
        verify::check_promises(store, workload.ledger(), findings);
    }
    findings.lost += workload.lost;
    findings.problems.append(&mut workload.problems);
}

/// Nothing is lost, neither for the next process nor, if the power goes now, for the one after that.
fn check(mounted: &Mounted, synced: Files, ledger: &Ledger, findings: &mut Findings) -> Result<()> {
    let after_power_loss = scratch::directory()?;
    for (name, bytes) in synced {
        std::fs::write(after_power_loss.path().join(name), bytes).context("the state can't be written")?;
    }
    for directory in [mounted.0.directory(), after_power_loss.path()] {
        let left = verify::check(directory, ledger);
        findings.does_not_open |= left.does_not_open;
        findings.lost += left.lost;
        findings.problems.extend(left.problems);
    }
    Ok(())
}

impl Report {
    pub(crate) fn passed(&self) -> bool {
        self.bad().next().is_none()
    }

    fn bad(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|trial| !trial.findings.are_none())
    }
}

impl Fault {
    /// `write, disk full, lasting`: the row that it is counted in.
    fn class(self) -> String {
        let error = if self.full { "disk full" } else { "failure" };
        let times = if self.lasting { "lasting" } else { "once" };
        format!("{}: {error}, {times}", self.operation.name())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut classes: Vec<(String, Vec<&Trial>)> = Vec::new();
        for trial in &self.trials {
            let class = trial.fault.class();
            match classes.iter_mut().find(|(name, _)| *name == class) {
                Some((_, trials)) => trials.push(trial),
                None => classes.push((class, vec![trial])),
            }
        }
        let columns = [
            "fault",
            "tried",
            "errors by code",
            "no error",
            "acknowledged",
            "rows beside",
            "lost",
            "bad",
        ];
        let mut table = Table::new(&columns);
        for (class, trials) in &classes {
            let sum = |figure: fn(&Trial) -> u64| trials.iter().map(|trial| figure(trial)).sum::<u64>().to_string();
            table.row([
                class.clone(),
                trials.len().to_string(),
                codes(trials),
                sum(|trial| u64::from(trial.codes.is_empty())),
                sum(|trial| trial.acknowledged),
                sum(|trial| trial.beside),
                sum(|trial| trial.findings.lost),
                sum(|trial| u64::from(!trial.findings.are_none())),
            ]);
        }
        let seconds = self.took.as_secs_f64();
        writeln!(f, "{table}\n{} faults in {seconds:.1} s", self.trials.len())?;
        for trial in self.bad().take(10) {
            writeln!(
                f,
                "\nworkload {}, {} {}",
                trial.seed,
                trial.fault.nth,
                trial.fault.class()
            )?;
            for problem in trial.findings.problems.iter().take(5) {
                writeln!(f, "  {problem}")?;
            }
        }
        Ok(())
    }
}

fn codes(trials: &[&Trial]) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, count) in trials.iter().flat_map(|trial| &trial.codes) {
        *sums.entry(code).or_default() += count;
    }
    let parts: Vec<String> = sums.iter().map(|(code, count)| format!("{count} `{code}`")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_has_events_that_become_blobs() {
        let (_, ledger) = sound(1).unwrap();
        let mut sent = ledger.sessions.values().flat_map(|promised| &promised.sent);
        assert!(sent.any(|sent| serde_json::to_string(&sent.body).unwrap().len() > 32 << 10));
    }

    #[test]
    fn the_workload_has_every_kind_of_row_beside_the_events() {
        let (_, ledger) = sound(1).unwrap();
        let acknowledged = ledger.beside.acknowledged();
        assert!(acknowledged.iter().all(|(_, count)| *count > 0), "{acknowledged:?}");
    }

    #[test]
    fn a_disk_that_fails_is_reported_and_survived() {
        let report = Faults { count: 1, seed: 1 }.run().unwrap();
        assert!(report.passed(), "{report}");
        for operation in OPERATIONS {
            let tried = report.trials.iter().any(|trial| trial.fault.operation == operation);
            assert!(tried, "no fault of {operation:?}: {report}");
        }
        for code in ["journal-full", "journal-failed"] {
            assert!(
                report.trials.iter().any(|trial| trial.codes.contains_key(code)),
                "{code}: {report}"
            );
        }
    }
}
