//! Every directory in `examples/` does what its README says: the commands of its first `sh` block print `expected.txt`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::program::Ended;
use crate::support::{built, quiet};

/// Where Cargo and rustup keep what they have, for the examples that build: their homes, and the names of those in ours.
const KEPT: [(&str, &str); 2] = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")];

fn examples() -> Vec<PathBuf> {
    let root = built::sources().parent().unwrap().join("examples");
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    examples.sort();
    examples
}

#[test]
fn examples_are_numbered_without_a_gap() {
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    for (index, example) in examples.iter().enumerate() {
        let name = example.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with(&format!("{:02}-", index + 1)),
            "`{name}` is number {}",
            index + 1
        );
        for file in ["README.md", "expected.txt", "sandbar.toml"] {
            assert!(example.join(file).is_file(), "`{name}` has no `{file}`");
        }
    }
}

#[test]
fn every_example_prints_what_it_says() {
    let _share = quiet::share();
    for example in examples() {
        let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
        let (readme, expected) = (read("README.md"), read("expected.txt"));
        let home = tempfile::tempdir().unwrap();
        let copied = tempfile::tempdir().unwrap();
        crate::support::copy(&example, copied.path());
        let ended: Ended = shell(commands(&readme), copied.path(), home.path())
            .output()
            .unwrap()
            .into();
        let name = example.file_name().unwrap().display();
        assert_eq!(
            ended.exit,
            Some(0),
            "{name}\nstdout:\n{}\nstderr:\n{}",
            ended.out,
            ended.err
        );
        assert_eq!(ended.out, expected, "{name}\nstderr:\n{}", ended.err);
        let left = std::fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert!(
            left.into_iter().all(|name| name == ".local"),
            "{name} left something in its home"
        );
    }
}

/// The first block of commands. What stands in a `console` block before it is not for a machine: it needs a model, or a person.
fn commands(readme: &str) -> &str {
    let block = readme
        .split_once("```sh\n")
        .and_then(|(_, rest)| rest.split_once("```"));
    let (commands, _) = block.unwrap_or_else(|| panic!("no block of `sh` is in:\n{readme}"));
    assert!(commands.contains("sandbar "), "no command of ours is in:\n{commands}");
    commands
}

/// As a user types it who has just installed the program.
fn shell(commands: &str, directory: &Path, home: &Path) -> Command {
    let outer = variable("PATH").unwrap_or_default();
    let own = built::program().parent().unwrap().to_owned();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&outer))).unwrap();
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-eu", "-o", "pipefail", "-c", commands])
        .current_dir(directory)
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        // What the examples in Rust depend on is compiled once for all of them, and kept for the next time.
        .env(
            "CARGO_BUILD_BUILD_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples"),
        )
        .stdin(Stdio::null());
    for (name, folder) in KEPT {
        let kept = variable(name).or_else(|| Some(PathBuf::from(variable("HOME")?).join(folder).into_os_string()));
        command.envs(kept.map(|place| (name, place)));
    }
    // Which of several toolchains builds is no part of an example.
    command.envs(variable("RUSTUP_TOOLCHAIN").map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the tools of this machine are is for the environment to say"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
