//! Where messages come from: a line editor with a history at a terminal, or else lines of standard input.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::config::{Behavior, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper};
use sandbar::protocol::{Error, ErrorKind, Result};

use crate::commands::chat::entry::{completions, goes_on, joined};
use crate::exit::Exit;
use crate::failure::file_failed;
use crate::interrupts::Interrupts;

const PROMPT: &str = "> ";
/// How many entries the history keeps.
const HISTORY: usize = 1000;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Text(String),
    /// Ctrl-C: what was typed is dropped.
    Interrupted,
    End,
}

pub(super) enum Input {
    Editor(Box<LineEditor>),
    Lines,
}

pub(super) struct LineEditor {
    /// None while another thread has it.
    editor: Option<Editor<Slash, FileHistory>>,
    history: PathBuf,
    /// How the terminal was before.
    terminal: Option<Termios>,
}

/// Completes commands, and knows which lines go on.
struct Slash;

impl Input {
    /// `history` is made, and for its owner alone.
    pub(super) fn new(history: &Path) -> Result<Self> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(Self::Lines);
        }
        // The editor keeps the mode of a file that is there.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(history)
            .map_err(|error| file_failed("open", history, error))?;
        let failed = |error| no_editor(&error);
        // Standard output may be a pipe: what is typed doesn't belong there.
        let config = Config::builder().behavior(Behavior::PreferTerm).auto_add_history(true);
        let config = config.max_history_size(HISTORY).map_err(failed)?.build();
        let mut editor = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Slash));
        // A history that can't be read is begun anew.
        let _ = editor.load_history(history);
        Ok(Self::Editor(Box::new(LineEditor {
            editor: Some(editor),
            history: history.to_owned(),
            terminal: tcgetattr(io::stdin()).ok(),
        })))
    }

    pub(super) fn is_interactive(&self) -> bool {
        matches!(self, Self::Editor(_))
    }

    pub(super) async fn read(&mut self) -> Result<Read> {
        match self {
            Self::Editor(editor) => editor.read().await,
            Self::Lines => tokio::task::spawn_blocking(|| from_lines(&mut io::stdin().lock()))
                .await
                .map_err(|error| {
                    Error::new(ErrorKind::Internal, "no-input", "the input was lost").with_source(error)
                })?,
        }
    }
}

impl LineEditor {
    async fn read(&mut self) -> Result<Read> {
        let lost = || Error::new(ErrorKind::Internal, "no-input", "the line editor was lost");
        let mut editor = self.editor.take().ok_or_else(lost)?;
        let mut interrupts = Interrupts::new()?;
        let reading = tokio::task::spawn_blocking(move || {
            let line = editor.readline(PROMPT);
            (editor, line)
        });
        let (mut editor, line) = tokio::select! {
            read = reading => read.map_err(|error| lost().with_source(error))?,
            // The editor takes the keys of the terminal, so that this comes from elsewhere. It can't be told to stop.
            () = interrupts.next() => {
                if let Some(terminal) = &self.terminal {
                    let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
                }
                std::process::exit(Exit::Interrupted as i32);
            }
        };
        // A history that can't be kept is no reason to end.
        let _ = editor.append_history(&self.history);
        self.editor = Some(editor);
        match line {
            Ok(line) => Ok(Read::Text(joined(&line))),
            Err(ReadlineError::Interrupted) => Ok(Read::Interrupted),
            Err(ReadlineError::Eof) => Ok(Read::End),
            Err(error) => Err(no_editor(&error)),
        }
    }
}

fn from_lines(lines: &mut impl io::BufRead) -> Result<Read> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        let bytes = lines.read_line(&mut line).map_err(|error| {
            let message = format!("standard input can't be read: {error}");
            Error::new(ErrorKind::InvalidInput, "bad-message", message)
                .with_hint("standard input must be text in UTF-8")
                .with_source(error)
        })?;
        if bytes == 0 && text.is_empty() {
            return Ok(Read::End);
        }
        let line = line.trim_end_matches(['\r', '\n']);
        text.push_str(line);
        if bytes == 0 || !goes_on(line) {
            return Ok(Read::Text(joined(text.strip_suffix("\\\n").unwrap_or(&text))));
        }
        text.push('\n');
    }
}

fn no_editor(error: &ReadlineError) -> Error {
    Error::new(
        ErrorKind::Internal,
        "no-editor",
        format!("the terminal can't be read: {error}"),
    )
    .with_hint("messages can come through standard input, too: `sandbar chat < messages.txt`")
}

impl Helper for Slash {}

impl Highlighter for Slash {}

impl Hinter for Slash {
    type Hint = String;
}

impl Completer for Slash {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let found = completions(&line[..position]).into_iter().map(str::to_owned);
        Ok((0, found.collect()))
    }
}

impl Validator for Slash {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match goes_on(context.input()) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_message() {
        let check = |input: &str, expected: &[&str]| {
            let mut input = input.as_bytes();
            let mut texts = Vec::new();
            while let Read::Text(text) = from_lines(&mut input).unwrap() {
                texts.push(text);
            }
            assert_eq!(texts, expected);
        };
        check("", &[]);
        check("one\ntwo", &["one", "two"]);
        check("one\r\n\ntwo\n", &["one", "", "two"]);
        check("one\\\ntwo\nthree\n", &["one\ntwo", "three"]);
        check("one\\\n", &["one"]);
        check("one\\", &["one"]);
        let error = from_lines(&mut b"\xff\n".as_slice()).unwrap_err();
        assert_eq!(error.code, "bad-message");
    }
}
