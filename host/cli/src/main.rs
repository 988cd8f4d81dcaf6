//! The program `sandbar`: flags in, text out. What it does is done by the runtime; this is the only crate that prints.

mod above;
mod answer;
mod author;
mod cli;
mod commands;
mod consent;
mod exit;
mod failure;
mod interrupts;
mod lines;
mod lock_notes;
mod model_flags;
mod number;
mod options;
mod person;
mod progress;
mod question;
mod sanitise;
mod style;
mod table;
mod terminal;
mod transcript;
mod usage;
mod waiting;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // A compile worker is this same program, started again: it must not see our flags.
    sandbar::worker_entry();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(problem) => return usage::misused(&problem),
    };
    let terminal = terminal::Terminal::new(&cli.options);
    terminal.start_logging(cli.options.verbose);
    let exit = match commands::run(cli.command, &cli.options, &terminal) {
        Ok(exit) => exit,
        Err(failure) => {
            terminal.errors(&failure.0);
            failure.exit()
        }
    };
    terminal.finish(exit).into()
}
