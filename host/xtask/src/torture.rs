//! `cargo xtask torture`: the journal under loss of power and failing disks, runs under the death of their process, the host under hostile components.

use anyhow::Result;
use clap::Args;

use crate::fuzz::Fuzz;
use crate::guests;
use crate::invocation::Invocation;
use crate::project::Project;

/// The ones that load components of the tests.
const WITH_GUESTS: [&str; 3] = [KILL, "hostile", "race"];
/// The one that needs a product with kill points, which users don't get.
const KILL: &str = "kill";

/// The one that is no part of the harness: its programs want another compiler.
const FUZZ: &str = "fuzz";

const PACKAGE: [&str; 3] = ["--quiet", "--package", "sandbar-torture"];
const KILL_POINTS: [&str; 2] = ["--features", "kill-points"];

#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// `power`, `faults`, `hostile`, `race`, `kill` or `fuzz`, and their options; `--help` after one lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

impl Torture {
    /// Built as users get the program.
    pub(crate) fn run(self, project: &Project) -> Result<()> {
        let mut run = Invocation::cargo(&["run", "--release"]);
        run = PACKAGE.into_iter().fold(run, Invocation::argument);
        let first = self.arguments.first().map_or("", String::as_str);
        if first == FUZZ {
            return Fuzz::parse_after(&self.arguments).run(project);
        }
        if WITH_GUESTS.contains(&first) {
            guests::ensure_target(project)?;
            guests::build_for_tests(project).run(&project.root)?;
        }
        if first == KILL {
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
    vec![
        cargo("clippy", &["--all-targets", "--", "-D", "warnings"]),
        cargo("run", &["--", KILL]),
        cargo("run", &["--", "power", "--count", "50"]),
        cargo("run", &["--", "faults"]),
        // That the harness of `kill` can fail; its own tests are in a program that only this feature builds.
        cargo("test", &["--bins", "--test", KILL]),
    ]
}

/// The tests of the harness that `cargo test --workspace` doesn't build.
pub(crate) fn own_tests() -> Invocation {
    cargo("test", &["--bins"])
}

/// With kill points.
fn cargo(task: &str, more: &[&str]) -> Invocation {
    let arguments = PACKAGE.into_iter().chain(KILL_POINTS).chain(more.iter().copied());
    arguments.fold(Invocation::cargo(&[task]), Invocation::argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of the harness of `kill` have tests of their own, which a call without the feature doesn't know.
    #[test]
    fn the_tests_of_the_kill_harness_are_run() {
        let runs = |call: &Invocation| {
            let call = call.to_string();
            let words: Vec<&str> = call.split(' ').collect();
            ["test", "kill-points", "--bins"]
                .iter()
                .all(|word| words.contains(word))
        };
        assert!(for_ci().iter().any(runs), "{:?}", for_ci());
        assert!(runs(&own_tests()));
    }
}
