//! Requests go down, from the surfaces through the runtime to the spokes and the vocabulary; no spoke knows another.

use anyhow::{Context as _, Result};
use serde_json::Value;

const SPOKES_AND_BELOW: &[&str] = &[
    "sandbar-protocol",
    "sandbar-store",
    "sandbar-llm",
    "sandbar-plugins",
    "sandbar-agent",
];

/// What each package of the workspace may know of the others. A new package gets a line here.
const MAY_KNOW: [(&str, &[&str]); 12] = [
    ("sandbar-protocol", &[]),
    ("sandbar-store", &["sandbar-protocol"]),
    ("sandbar-llm", &["sandbar-protocol"]),
    ("sandbar-plugins", &["sandbar-protocol"]),
    ("sandbar-agent", &["sandbar-protocol", "sandbar-store"]),
    ("sandbar", SPOKES_AND_BELOW),
    ("sandbar-cli", &["sandbar", "sandbar-protocol"]),
    ("sandbar-bench", &["sandbar", "sandbar-protocol"]),
    (
        "sandbar-fuzz",
        &["sandbar-protocol", "sandbar-store", "sandbar-llm", "sandbar-agent"],
    ),
    ("sandbar-tests", &["sandbar", "sandbar-protocol", "sandbar-torture"]),
    ("sandbar-torture", &["sandbar", "sandbar-protocol", "sandbar-store"]),
    ("sandbar-xtask", &[]),
];

/// Libraries that only some packages may name, so that what they do is in one place. The benchmarks measure bare wasmtime and bare
/// SQLite too; the torture is a disk under SQLite, and asks it what it thinks of what is left; the tests let a table fail.
const ONLY_FOR: [(&str, &[&str]); 4] = [
    (
        "rusqlite",
        &["sandbar-store", "sandbar-torture", "sandbar-bench", "sandbar-tests"],
    ),
    ("wasmtime", &["sandbar-plugins", "sandbar-bench"]),
    ("wasmtime-wasi", &["sandbar-plugins", "sandbar-bench"]),
    ("wasmparser", &["sandbar-plugins"]),
];

#[derive(Debug)]
pub(super) struct Package {
    name: String,
    /// Of every kind: what a test needs is known too.
    dependencies: Vec<String>,
}

pub(super) fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let name = |value: &Value| {
        value["name"]
            .as_str()
            .map(str::to_owned)
            .context("`cargo metadata` leaves out a name")
    };
    let list = |value: &Value| value.as_array().cloned().context("`cargo metadata` leaves out a list");
    list(&metadata["packages"])?
        .iter()
        .map(|package| {
            Ok(Package {
                name: name(package)?,
                dependencies: list(&package["dependencies"])?
                    .iter()
                    .map(name)
                    .collect::<Result<_>>()?,
            })
        })
        .collect()
}

pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let Some((_, may_know)) = MAY_KNOW.iter().find(|(name, _)| *name == package.name) else {
            complaints.push(format!(
                "{}: nothing says what this package may depend on; add it to host/xtask/src/tidy/dependencies.rs",
                package.name
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = packages.iter().any(|other| other.name == *dependency);
            if ours && !may_know.contains(&dependency.as_str()) {
                complaints.push(format!(
                    "{}: depends on `{dependency}`; of the project's own it may know {}",
                    package.name,
                    or_nothing(may_know)
                ));
            }
            let restricted = ONLY_FOR.iter().find(|(library, _)| library == dependency);
            if let Some((_, users)) = restricted
                && !users.contains(&package.name.as_str())
            {
                complaints.push(format!(
                    "{}: depends on `{dependency}`, which only {} may",
                    package.name,
                    users.join(" and ")
                ));
            }
        }
    }
    complaints
}

fn or_nothing(names: &[&str]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a: b c; d:` is two packages and their dependencies.
    fn complaints(graph: &str) -> Vec<String> {
        let packages: Vec<Package> = graph
            .split(';')
            .map(|line| {
                let (name, dependencies) = line.split_once(':').unwrap();
                Package {
                    name: name.trim().to_owned(),
                    dependencies: dependencies.split_whitespace().map(str::to_owned).collect(),
                }
            })
            .collect();
        check(&packages)
    }

    #[test]
    fn dependencies_go_down() {
        let good = |graph: &str| assert_eq!(complaints(graph), Vec::<String>::new(), "{graph}");
        let bad = |graph: &str, expected: &str| {
            let found = complaints(graph);
            assert_eq!(found.len(), 1, "{graph}: {found:?}");
            assert!(found[0].contains(expected), "{}", found[0]);
        };
        good("sandbar-protocol: serde futures");
        good("sandbar-store: sandbar-protocol rusqlite; sandbar-protocol: ");
        good("sandbar-agent: sandbar-store sandbar-protocol; sandbar-store: ; sandbar-protocol: ");
        good("sandbar: sandbar-agent sandbar-llm; sandbar-agent: ; sandbar-llm: ");
        good("sandbar-plugins: wasmtime wasmtime-wasi wasmparser");

        bad(
            "sandbar-protocol: sandbar-store; sandbar-store: ",
            "it may know nothing",
        );
        bad(
            "sandbar-agent: sandbar-llm; sandbar-llm: ",
            "sandbar-agent: depends on `sandbar-llm`",
        );
        bad(
            "sandbar-plugins: sandbar-store; sandbar-store: ",
            "sandbar-plugins: depends on `sandbar-store`",
        );
        bad(
            "sandbar-cli: sandbar-agent; sandbar-agent: ",
            "it may know sandbar, sandbar-protocol",
        );
        bad(
            "sandbar-store: sandbar; sandbar: ",
            "sandbar-store: depends on `sandbar`",
        );
        bad(
            "sandbar-agent: rusqlite",
            "which only sandbar-store and sandbar-torture and sandbar-bench and sandbar-tests may",
        );
        bad("sandbar: wasmtime", "which only sandbar-plugins and sandbar-bench may");
        bad("sandbar-cli: wasmparser", "which only sandbar-plugins may");
        bad("sandbar-new: serde", "nothing says what this package may depend on");
    }

    #[test]
    fn metadata_is_read() {
        let metadata = serde_json::json!({"packages": [{"name": "a", "dependencies": [{"name": "b", "kind": "dev"}]}]});
        let packages = packages(&metadata).unwrap();
        assert_eq!(
            (packages[0].name.as_str(), packages[0].dependencies.as_slice()),
            ("a", ["b".to_owned()].as_slice())
        );
    }
}
