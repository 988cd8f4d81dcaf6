//! `sandbar completions`: what a shell needs to complete our commands and flags.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::terminal::{Stream, Terminal};

/// Print completions of commands and flags for a shell
///
/// For bash: `sandbar completions bash > ~/.local/share/bash-completion/completions/sandbar`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, terminal: &Terminal) -> Outcome {
        terminal.write(Stream::Out, &script(self.shell));
        Ok(Exit::Ok)
    }
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sandbar", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_knows_the_commands() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for word in ["sandbar", "chat", "data-dir"] {
                assert!(script.contains(word), "{word} for {shell}");
            }
        }
    }
}
