//! `cargo xtask bench`: the benchmarks, built as users get the program.

use anyhow::Result;
use clap::Args;

use crate::guests;
use crate::invocation::Invocation;
use crate::project::Project;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What the benchmark program is told.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self, project: &Project) -> Result<()> {
        guests::ensure_target(project)?;
        let run = Invocation::cargo(&["run", "--quiet", "--release", "--package", "sandbar-bench", "--"]);
        self.arguments
            .into_iter()
            .fold(run, Invocation::argument)
            .run(&project.root)
    }
}
