//! Another program's call: run in a folder, and shown so that it can be repeated in a shell.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Variables that a build for another target must not inherit.
const FLAGS: [&str; 4] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
];

#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    program: String,
    arguments: Vec<String>,
    /// Below the root of the project; empty is the root.
    folder: PathBuf,
    without_flags: bool,
    variable: Option<(&'static str, &'static str)>,
}

impl Invocation {
    pub(crate) fn new(program: impl Into<String>, arguments: &[&str]) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            folder: PathBuf::new(),
            without_flags: false,
            variable: None,
        }
    }

    pub(crate) fn cargo(arguments: &[&str]) -> Self {
        Self::new("cargo", arguments)
    }

    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    pub(crate) fn without_flags(mut self) -> Self {
        self.without_flags = true;
        self
    }

    pub(crate) fn with_variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variable = Some((name, value));
        self
    }

    /// Runs it with the terminal as its output.
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        let status = self
            .command(root)
            .status()
            .with_context(|| format!("`{}` can't be started", self.program))?;
        if !status.success() {
            bail!("`{}` failed ({status})", self.program_and_subcommand());
        }
        Ok(())
    }

    /// Runs it and returns what it prints; its errors go to the terminal.
    pub(crate) fn read(&self, root: &Path) -> Result<String> {
        let output = self
            .command(root)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("`{}` can't be started", self.program))?;
        if !output.status.success() {
            bail!("`{self}` failed ({})", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{self}` printed bytes that are not UTF-8"))
    }

    /// Runs it without a terminal, and returns all that it writes, however it ends. It has nothing to read.
    pub(crate) fn output(&self, root: &Path) -> Result<Output> {
        self.command(root)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("`{}` can't be started", self.program))
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(root.join(&self.folder));
        if self.without_flags {
            for flag in FLAGS {
                command.env_remove(flag);
            }
        }
        if let Some((name, value)) = self.variable {
            command.env(name, value);
        }
        command
    }

    fn program_and_subcommand(&self) -> String {
        match self.arguments.first() {
            Some(subcommand) => format!("{} {subcommand}", self.program),
            None => self.program.clone(),
        }
    }
}

/// As a shell reads it, from the root of the project.
impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.without_flags {
            words.push("env".to_owned());
            words.extend(FLAGS.iter().map(|flag| format!("-u {flag}")));
        }
        if let Some((name, value)) = self.variable {
            words.push(format!("{name}={}", quoted(value)));
        }
        words.push(quoted(&self.program));
        words.extend(self.arguments.iter().map(|argument| quoted(argument)));
        let call = words.join(" ");
        if self.folder.as_os_str().is_empty() {
            write!(f, "{call}")
        } else {
            write!(f, "(cd {} && {call})", quoted(&self.folder.to_string_lossy()))
        }
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_shown_as_a_shell_reads_it() {
        let check = |invocation: Invocation, expected: &str| assert_eq!(invocation.to_string(), expected);
        check(Invocation::cargo(&["test", "--workspace"]), "cargo test --workspace");
        check(
            Invocation::cargo(&["run", "it's here", ""]),
            r"cargo run 'it'\''s here' ''",
        );
        check(
            Invocation::cargo(&["doc"]).with_variable("RUSTDOCFLAGS", "-D warnings"),
            "RUSTDOCFLAGS='-D warnings' cargo doc",
        );
        check(
            Invocation::cargo(&["build"]).in_folder("tests/guests").without_flags(),
            "(cd tests/guests && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_RUSTFLAGS \
            -u CARGO_BUILD_TARGET cargo build)",
        );
    }
}
