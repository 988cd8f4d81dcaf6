//! The program at a pseudo-terminal, with somebody who reads and types there.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::built;
use crate::support::program::Ended;

/// No text takes as long to appear, so that one that never comes is a failure and not a wait.
const PATIENCE: Duration = Duration::from_mins(5);

/// Ctrl-C and Ctrl-D, as a terminal sends them.
pub(crate) const CTRL_C: &str = "\u{3}";
pub(crate) const CTRL_D: &str = "\u{4}";

/// A command at a terminal of its own, which `script` makes: it is the controlling terminal of the command, so that Ctrl-C is a signal.
pub(crate) fn at_terminal(directory: &Path, arguments: &[&str]) -> Command {
    let program = built::program();
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let words = [program.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
    let line = words.map(quoted).collect::<Vec<_>>().join(" ");
    let mut command = Command::new("script");
    if cfg!(target_os = "macos") {
        command.args(["-q", "/dev/null", "sh", "-c"]).arg(line);
    } else {
        command.args(["-qefc", &line, "/dev/null"]);
    }
    command.current_dir(directory).env_clear().env("HOME", directory);
    command.env("TERM", "xterm");
    command
}

/// A command at a terminal, with somebody there.
pub(crate) struct AtTerminal {
    child: Child,
    keys: ChildStdin,
    pieces: Receiver<String>,
    /// All that was on the screen.
    shown: String,
    /// Up to where it has been read.
    read: usize,
}

impl AtTerminal {
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::begin(at_terminal(directory, arguments))
    }

    /// One of `at_terminal`, with more variables.
    pub(crate) fn begin(mut command: Command) -> Self {
        let command = command.env("NO_COLOR", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            keys,
            pieces: follow(screen),
            shown: String::new(),
            read: 0,
        }
    }

    /// Until a text appears that has not been read yet.
    pub(crate) fn until(&mut self, text: &str) -> &mut Self {
        loop {
            if let Some(place) = self.shown[self.read..].find(text) {
                self.read += place + text.len();
                return self;
            }
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.shown.push_str(&piece),
                Err(error) => panic!("`{text}` does not appear ({error}):\n{}", self.shown),
            }
        }
    }

    /// Keys, after what they answer has appeared.
    pub(crate) fn type_keys(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        self
    }

    /// Waits for the end; `out` is all that was on the screen.
    pub(crate) fn end(mut self) -> Ended {
        while let Ok(piece) = self.pieces.recv_timeout(PATIENCE) {
            self.shown.push_str(&piece);
        }
        Ended {
            exit: self.child.wait().unwrap().code(),
            out: self.shown.replace("\r\n", "\n"),
            err: String::new(),
        }
    }
}

/// A test that fails leaves nobody behind: the command loses its terminal.
impl Drop for AtTerminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
    }
}

/// What appears, as it comes; ends with the terminal.
fn follow(mut screen: ChildStdout) -> Receiver<String> {
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let mut begun = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = screen.read(&mut buffer) {
            begun.extend_from_slice(&buffer[..read]);
            // A character may come in two pieces.
            let whole = match std::str::from_utf8(&begun) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            let rest = begun.split_off(whole);
            let piece = String::from_utf8(std::mem::replace(&mut begun, rest)).unwrap();
            if sender.send(piece).is_err() {
                break;
            }
        }
    });
    pieces
}
