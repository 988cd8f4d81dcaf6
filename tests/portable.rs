//! The contract from other languages: a tool in Python and one in JavaScript are built and called as their authors would.
//!
//! Their compilers come from `target/guest-tools` or the PATH. Without them a test says `skipped` and passes, unless
//! `SANDBAR_REQUIRE_GUESTS=1` says that they must be there; CI says so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::support::built;
use crate::support::program::{Ended, sandbar};

/// Where `.ci/run` puts the compilers.
const TOOLS: [&str; 2] = ["python/bin", "node/node_modules/.bin"];

#[expect(
    clippy::print_stdout,
    reason = "whoever reads the tests' output should know what was skipped"
)]
fn check(language: &str, compiler: &str, passed: &str) {
    let path = path();
    let found = std::env::split_paths(&path).any(|directory| directory.join(compiler).is_file());
    if !found {
        assert!(
            !required(),
            "`{compiler}` isn't there, and SANDBAR_REQUIRE_GUESTS wants it"
        );
        println!("skipped: `{compiler}` isn't there");
        return;
    }
    let samples = built::sources().parent().unwrap().join("guest-plugins/samples");
    let directory = tempfile::tempdir().unwrap();
    let mut command = sandbar(directory.path(), &["plugins", "test", "--out", "plugins"]);
    let ended: Ended = command
        .arg(samples.join(language))
        .env("PATH", &path)
        .output()
        .unwrap()
        .into();
    let ended = ended.expect(0);
    assert_eq!(ended.out.lines().last(), Some(passed), "{}", ended.out);
}

#[test]
fn a_tool_in_python() {
    check("python", "componentize-py", "2 passed");
}

#[test]
fn a_tool_in_javascript() {
    check("javascript", "componentize-qjs", "2 passed");
}

/// The compilers' directories, then the PATH of the tests: `node` is found there.
fn path() -> OsString {
    let tools = built::program()
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .unwrap_or_default()
        .join("guest-tools");
    let own: Vec<PathBuf> = TOOLS.iter().map(|tool| tools.join(tool)).collect();
    let outer = variable("PATH").unwrap_or_default();
    std::env::join_paths(own.into_iter().chain(std::env::split_paths(&outer))).unwrap()
}

fn required() -> bool {
    variable("SANDBAR_REQUIRE_GUESTS").is_some_and(|value| value == "1")
}

#[expect(clippy::disallowed_methods, reason = "where compilers are is the machine's to say")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
