//! The program `sandbar`, as a user starts it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::built;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None: by a signal.
    pub(crate) exit: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command in a directory, with nothing of the environment of the tests; its home is that directory.
pub(crate) fn sandbar(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(built::program());
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same, to its end.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Ended {
    sandbar(directory, arguments).output().unwrap().into()
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program prints UTF-8");
        Self {
            exit: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Ended {
    /// Complains with everything that was printed.
    pub(crate) fn expect(self, exit: i32) -> Self {
        assert_eq!(self.exit, Some(exit), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}
