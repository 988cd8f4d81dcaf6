//! What becomes WebAssembly: the target for it, and the guests of the tests.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::invocation::Invocation;
use crate::project::Project;

pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Every build of the host builds plugins too, so this comes before all others.
pub(crate) fn ensure_target(project: &Project) -> Result<()> {
    if is_installed(project)? {
        return Ok(());
    }
    let add = Invocation::new("rustup", &["target", "add", TARGET]);
    if Invocation::new("rustup", &["--version"]).read(&project.root).is_err() {
        bail!(
            "the Rust target {TARGET} is not installed, and rustup isn't there to do it: install rustup, then run `{add}`"
        );
    }
    add.run(&project.root)
        .with_context(|| format!("the Rust target {TARGET} is needed: `{add}`"))?;
    if !is_installed(project)? {
        bail!(
            "`{add}` has run, and `rustc` still doesn't find the target: is another `rustc` before rustup's in PATH?"
        );
    }
    Ok(())
}

/// The components that the tests load.
pub(crate) fn build_for_tests(project: &Project) -> Invocation {
    Invocation::cargo(&[
        "build",
        "--release",
        "--locked",
        "--examples",
        "--target",
        TARGET,
        "--target-dir",
    ])
    .argument(project.target_folder("guests-tests"))
    .in_folder("tests/guests")
    .without_flags()
}

/// The guests' own tests, which run natively.
pub(crate) fn test_natively(project: &Project) -> Vec<Invocation> {
    project
        .guest_workspaces()
        .map(|folder| {
            Invocation::cargo(&["test", "--workspace", "--locked", "--target-dir"])
                .argument(project.target_folder("guests-native"))
                .in_folder(folder)
                .without_flags()
        })
        .collect()
}

fn is_installed(project: &Project) -> Result<bool> {
    let libraries = Invocation::new("rustc", &["--print", "target-libdir", "--target", TARGET]).read(&project.root)?;
    Ok(Path::new(libraries.trim()).is_dir())
}
