//! Tries to open what is outside of the workspace by all the names that lead there elsewhere.

use std::fs;

use sandbar_sdk::{Context, Error, NoInput, Tool};
use sandbar_test_guests::report;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    let mut attempts = Vec::new();
    for name in NAMES {
        attempts.push((format!("read {name}"), fs::read(name).is_ok()));
        attempts.push((format!("list {name}"), outside(name) && fs::read_dir(name).is_ok()));
        attempts.push((
            format!("write {name}"),
            fs::write(format!("{name}/stolen.txt"), "here").is_ok(),
        ));
    }
    report(&attempts)
}

/// The first of them is beside the workspace.
const NAMES: [&str; 22] = [
    "../secret.txt",
    "/../secret.txt",
    "./../secret.txt",
    "docs/../../secret.txt",
    "docs/../docs/../../secret.txt",
    "..//secret.txt",
    "../secret.txt/",
    "..",
    "../..",
    "/..",
    "/../../../../../../etc/passwd",
    "../../../../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "/proc/self/root/etc/passwd",
    "/proc/self/cwd",
    "/proc/self/fd/0",
    "/dev/stdin",
    "~/.ssh/id_rsa",
    "..\\secret.txt",
    "%2e%2e/secret.txt",
];

/// `/..` may be the workspace again: that is no way out.
fn outside(name: &str) -> bool {
    fs::read_dir(name).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_str(), Some("secret.txt" | "etc"))))
    })
}
