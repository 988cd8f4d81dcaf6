//! The harness finds nothing where there is nothing to find, and double calls where they happen.

use std::process::Command;

use serde_json::Value;

/// Whether the harness is content, and what it prints.
fn kill(arguments: &[&str]) -> (bool, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_sandbar-torture"))
        .args(["kill", "--json"])
        .args(arguments)
        .output()
        .expect("the harness starts");
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), report)
}

/// The first seeds of a round that kill where a call is between its intent and its outcome.
const SEED: &str = "20";

#[test]
fn nothing_is_lost_and_nothing_happens_twice() {
    let (content, report) = kill(&["--count", "3", "--seed", SEED]);
    assert!(content, "{report:#}");
    assert!(report["total"]["kills"].as_u64() >= Some(3), "{report:#}");
    assert!(report["total"]["acknowledged"].as_u64() > Some(0), "{report:#}");
}

#[test]
fn without_intents_calls_happen_twice() {
    let (content, report) = kill(&["--count", "3", "--seed", SEED, "--without-intents"]);
    assert!(!content, "{report:#}");
    assert!(report["total"]["double_calls"].as_u64() > Some(0), "{report:#}");
}
