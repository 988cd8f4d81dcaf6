//! `cargo xtask torture`: what becomes of a journal when its disk fails it, of runs when their process dies, and of a host whose plugins are
//! hostile. Prints tables; exit code 1 if anything is wrong.

#![expect(clippy::print_stdout, reason = "printing the tables is what this program is for")]

mod beside;
mod chance;
mod derived;
mod disk;
mod faults;
mod hostile;
#[cfg(feature = "kill-points")]
mod kill;
mod ledger;
mod parallel;
mod power;
mod race;
mod scratch;
mod script;
mod table;
mod verify;
mod workload;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Torture the journal, and the host.
#[derive(Debug, Parser)]
#[command(name = "sandbar-torture")]
struct Cli {
    #[command(subcommand)]
    torture: Torture,
}

#[derive(Debug, Subcommand)]
enum Torture {
    Power(power::Power),
    Faults(faults::Faults),
    Hostile(hostile::Hostile),
    Race(race::Race),
    #[cfg(feature = "kill-points")]
    Kill(kill::Kill),
    #[cfg(feature = "kill-points")]
    #[command(hide = true)]
    KillChild(kill::KillChild),
}

fn main() -> anyhow::Result<ExitCode> {
    // Plugins are compiled in a child process, which is this program started again.
    sandbar::worker_entry();
    match Cli::parse().torture {
        Torture::Power(power) => power.run().map(|report| show(&report, report.passed())),
        Torture::Faults(faults) => faults.run().map(|report| show(&report, report.passed())),
        Torture::Race(race) => race.run().map(|report| show(&report, report.passed())),
        Torture::Hostile(hostile) => hostile.run().map(|report| show(&report, report.passed())),
        #[cfg(feature = "kill-points")]
        Torture::Kill(kill) => kill.run().map(|report| show(&report, report.passed())),
        #[cfg(feature = "kill-points")]
        Torture::KillChild(child) => child.run().map(|()| ExitCode::SUCCESS),
    }
}

fn show(report: &impl Display, passed: bool) -> ExitCode {
    println!("{report}");
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn verify_cli() {
        super::Cli::command().debug_assert();
    }
}
