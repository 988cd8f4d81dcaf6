//! The command line as a whole.

use clap::Parser;

use crate::commands::Command;
use crate::exit;
use crate::options::Options;

/// Runs agents whose tools and decision logic are sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "sandbar", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    /// None shows where one could begin.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }
}
