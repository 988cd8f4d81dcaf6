//! `sandbar plugins verify`.

use sandbar::plugins::VerifiedState;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::options::Options;
use crate::sanitise::one_line;
use crate::style::Style;
use crate::table::{Table, cell};
use crate::terminal::{Stream, Terminal};

/// Compare the plugins' files with `sandbar.lock`, without running or compiling anything
///
/// The exit code is 3 if a file is not the one that was approved, is not in the lock, or is missing.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {}

impl Verify {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let config = options.config_without_agent()?;
        let found = sandbar::verify_plugins(&config)?;
        let sound = found.iter().all(|verified| verified.state == VerifiedState::Approved);
        if terminal.json {
            found.iter().for_each(|verified| terminal.json_line(verified));
        } else if found.is_empty() {
            terminal.note("there are no plugins but the bundled ones, which are a part of the program");
        } else {
            let mut table = Table::with_header(&["NAME", "STATE", "SHA256"]);
            for verified in &found {
                let (style, state) = state(&verified.state);
                let digest = verified.digest.as_deref().unwrap_or_default();
                table.row([
                    cell(Style::Bold, one_line(&verified.name, 40)),
                    cell(style, state),
                    cell(Style::Dim, digest),
                ]);
            }
            terminal.lines(table.lines(terminal.paint(Stream::Out)));
        }
        Ok(if sound { Exit::Ok } else { Exit::Denied })
    }
}

fn state(state: &VerifiedState) -> (Style, String) {
    match state {
        VerifiedState::Approved => (Style::Green, "approved".to_owned()),
        VerifiedState::Changed { why } => (Style::Red, format!("changed: {why}")),
        VerifiedState::New => (Style::Yellow, "not in the lock".to_owned()),
        VerifiedState::Missing => (Style::Yellow, "in the lock, but there is no file".to_owned()),
        VerifiedState::Unreadable { why } => (Style::Red, format!("unreadable: {}", one_line(why, 200))),
    }
}
