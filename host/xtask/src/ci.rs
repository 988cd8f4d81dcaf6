//! What CI runs: everything that says whether a change is good, in an order that finds the cheap faults first.

use anyhow::Result;

use crate::invocation::Invocation;
use crate::project::Project;
use crate::steps::Steps;
use crate::{docs, guests, tidy, torture};

pub(crate) fn ci(project: &Project) -> Result<()> {
    guests::ensure_target(project)?;
    let mut steps = Steps::begin("ci", project);
    let formats: Vec<Invocation> = std::iter::once("")
        .chain(project.guest_workspaces())
        .map(|folder| Invocation::cargo(&["fmt", "--all", "--check"]).in_folder(folder))
        .collect();
    steps.call("format", &formats)?;
    steps.call(
        "clippy",
        &[Invocation::cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])],
    )?;
    steps.task("tidy", "cargo xtask tidy", tidy::tidy)?;
    build_and_test(&mut steps, project)?;
    steps.call("guests' own tests", &guests::test_natively(project))?;
    steps.call("torture", &torture::for_ci())?;
    let doc = Invocation::cargo(&["doc", "--workspace", "--no-deps"]).with_variable("RUSTDOCFLAGS", "-D warnings");
    steps.call("documentation", &[doc])?;
    steps.task("generated pages", "cargo xtask docs --check", docs::check)?;
    steps.finish();
    Ok(())
}

pub(crate) fn test(project: &Project) -> Result<()> {
    guests::ensure_target(project)?;
    let mut steps = Steps::begin("test", project);
    build_and_test(&mut steps, project)?;
    steps.call("tests of the kill harness", &[torture::own_tests()])?;
    steps.finish();
    Ok(())
}

fn build_and_test(steps: &mut Steps<'_>, project: &Project) -> Result<()> {
    // The tests start the programs, so these are built before.
    steps.call("build", &[Invocation::cargo(&["build", "--workspace"])])?;
    steps.call("guests for the tests", &[guests::build_for_tests(project)])?;
    steps.call("tests", &[Invocation::cargo(&["test", "--workspace"])])
}
