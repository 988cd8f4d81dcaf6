//! `cargo xtask torture`: the journal under loss of power and failing disks, and runs under the death of their process.

use anyhow::Result;
use clap::Args;

use crate::guests;
use crate::invocation::Invocation;
use crate::project::Project;

/// The one that needs a product with kill points, which users don't get.
const KILL: &str = "kill";

const PACKAGE: [&str; 3] = ["--quiet", "--package", "sandbar-torture"];
const KILL_POINTS: [&str; 2] = ["--features", "kill-points"];

#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// `power`, `faults` or `kill`, and their options; `--help` after one lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

impl Torture {
    /// Built as users get the program.
    pub(crate) fn run(self, project: &Project) -> Result<()> {
        let mut run = Invocation::cargo(&["run", "--release"]);
        run = PACKAGE.into_iter().fold(run, Invocation::argument);
        if self.arguments.first().is_some_and(|first| first == KILL) {
            guests::ensure_target(project)?;
            guests::build_for_tests(project).run(&project.root)?;
            run = KILL_POINTS.into_iter().fold(run, Invocation::argument);
        }
        let run = run.argument("--");
        self.arguments
            .into_iter()
            .fold(run, Invocation::argument)
            .run(&project.root)
    }
}

/// Enough of each to notice what broke, in one debug build. The guests of the tests must be there.
pub(crate) fn for_ci() -> Vec<Invocation> {
    let cargo = |task: &str, more: &[&str]| {
        let arguments = PACKAGE.into_iter().chain(KILL_POINTS).chain(more.iter().copied());
        arguments.fold(Invocation::cargo(&[task]), Invocation::argument)
    };
    vec![
        cargo("clippy", &["--all-targets", "--", "-D", "warnings"]),
        cargo("run", &["--", KILL]),
        cargo("run", &["--", "power", "--count", "50"]),
        cargo("run", &["--", "faults"]),
        // That the harness of `kill` can fail.
        cargo("test", &["--test", KILL]),
    ]
}
