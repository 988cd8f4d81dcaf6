//! Every directory in `examples/` does what its README says: the commands of its first fenced block print `expected.txt`.

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
        let (commands, expected) = (commands(&read("README.md")), read("expected.txt"));
        let home = tempfile::tempdir().unwrap();
        let copied = tempfile::tempdir().unwrap();
        copy(&example, copied.path());
        let ended: Ended = shell(&commands, copied.path(), home.path()).output().unwrap().into();
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

/// The first fenced block. In a `console` block the commands stand behind a prompt, and the rest is what they print.
fn commands(readme: &str) -> String {
    let mut lines = readme.lines().skip_while(|line| !line.starts_with("```"));
    let language = lines.next().and_then(|fence| fence.strip_prefix("```"));
    let block = lines.take_while(|line| !line.starts_with("```"));
    let commands: Vec<&str> = match language {
        Some("sh") => block.collect(),
        Some("console") => block.filter_map(|line| line.strip_prefix("$ ")).collect(),
        other => panic!("the first block is `{other:?}`, but `sh` or `console` is wanted"),
    };
    assert!(
        commands.iter().any(|line| line.starts_with("sandbar ")),
        "no command is in:\n{readme}"
    );
    commands.join("\n")
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

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn commands_are_those_of_the_first_block() {
    assert_eq!(
        commands("# A\n\n```sh\nsandbar a\ncat b\n```\n\n```sh\nsandbar c\n```\n"),
        "sandbar a\ncat b"
    );
    assert_eq!(
        commands("```console\n$ sandbar a\nprinted\n$ sandbar b\n```\n"),
        "sandbar a\nsandbar b"
    );
}
