//! `sandbar man`: manual pages.

use clap::{Command, CommandFactory as _};
use sandbar::protocol::{Error, ErrorKind, Result};

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::terminal::{Stream, Terminal};

/// Print a manual page in roff
///
/// To read it: `sandbar man | man -l -`. To keep it: `sandbar man > ~/.local/share/man/man1/sandbar.1`.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The command that the page is of, such as `run` or `plugins list`; the program itself unless it is named
    command: Vec<String>,
}

impl Man {
    pub(crate) fn run(self, terminal: &Terminal) -> Outcome {
        terminal.write(Stream::Out, &page(&self.command)?);
        Ok(Exit::Ok)
    }
}

fn page(words: &[String]) -> Result<String> {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| no_command(word, command))?;
    }
    let name = command.get_bin_name().unwrap_or("sandbar").replace(' ', "-");
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().display_name(name))
        .render(&mut page)
        .map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "no-page",
                format!("the page can't be written: {error}"),
            )
            .with_source(error)
        })?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn no_command(word: &str, parent: &Command) -> Error {
    let parent_name = parent.get_bin_name().unwrap_or("sandbar");
    let message = format!("`{parent_name}` has no command `{}`", word.escape_debug());
    let names = parent.get_subcommands().filter(|command| !command.is_hide_set());
    let names: Vec<&str> = names.map(Command::get_name).collect();
    let error = Error::new(ErrorKind::InvalidInput, "no-command", message);
    match names.is_empty() {
        true => error,
        false => error.with_hint(format!("there are: {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let check = |words: &str, expected: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let page = page(&words).unwrap();
            assert!(page.contains(expected), "{expected} is not in:\n{page}");
        };
        check("", ".TH sandbar 1");
        check("chat", ".TH sandbar-chat 1");
        check("plugins list", ".TH sandbar-plugins-list 1");
        let error = page(&["plugins".to_owned(), "lost".to_owned()]).unwrap_err();
        assert_eq!(error.message, "`sandbar plugins` has no command `lost`");
    }
}
