//! `cargo xtask bench`: the benchmarks, built as users get the program.

use anyhow::Result;
use clap::Args;

use crate::guests;
use crate::invocation::Invocation;
use crate::project::Project;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// One group of rows: calls, turns, history, journal, recovery, sessions, beside, start, memory; all by default.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self, project: &Project) -> Result<()> {
        guests::ensure_target(project)?;
        guests::build_for_tests(project).run(&project.root)?;
        let samples = format!(
            "{}/{}/release/examples",
            project.target_folder("guests-tests"),
            guests::TARGET
        );
        let run =
            Invocation::cargo(&["run", "--quiet", "--release", "--package", "sandbar-bench", "--"]).argument(samples);
        self.arguments
            .into_iter()
            .fold(run, Invocation::argument)
            .run(&project.root)
    }
}
