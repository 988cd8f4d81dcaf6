//! `cargo xtask`: what is done to the sources, by people and by CI alike.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program is a terminal program"
)]

mod bench;
mod ci;
mod docs;
mod fuzz;
mod fuzz_report;
mod guests;
mod invocation;
mod project;
mod record;
mod steps;
mod tidy;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::project::Project;

/// Tasks of the Sandbar project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run everything that CI runs, in its order; stops at the first failure.
    Ci,
    /// Build, build the guests of the tests, and test.
    Test,
    /// Check what the compiler doesn't: who depends on whom, and rules for sources.
    Tidy,
    /// Write the pages that are generated from the program.
    Docs(docs::Docs),
    /// Run the demo in a terminal and draw it for the README.
    Record,
    /// Measure what Sandbar costs; prints tables.
    Bench(bench::Bench),
    /// Lose power, fail the disk, kill the process, and look at what is left; prints tables.
    Torture(torture::Torture),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = Project::find().and_then(|project| match cli.task {
        Task::Ci => ci::ci(&project),
        Task::Test => ci::test(&project),
        Task::Tidy => tidy::tidy(&project),
        Task::Docs(docs) => docs.run(&project),
        Task::Record => record::record(&project),
        Task::Bench(bench) => bench.run(&project),
        Task::Torture(torture) => torture.run(&project),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn verify_cli() {
        super::Cli::command().debug_assert();
    }
}
