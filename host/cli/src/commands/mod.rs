//! The subcommands, one file each.

mod config;
mod demo;
mod doctor;
mod init;
mod plugins;
mod reference;
mod run;
mod sessions;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::options::Options;
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Run(run::Run),
    #[command(subcommand)]
    Plugins(plugins::PluginsCommand),
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Doctor(doctor::Doctor),
    GenerateCliReference(reference::GenerateCliReference),
}

pub(crate) fn run(command: Command, options: &Options, terminal: &Terminal) -> Outcome {
    match command {
        Command::Demo(command) => command.run(terminal),
        Command::Init(command) => command.run(terminal),
        Command::Run(command) => command.run(options, terminal),
        Command::Plugins(command) => command.run(options, terminal),
        Command::Sessions(command) => command.run(options, terminal),
        Command::Config(command) => command.run(options, terminal),
        Command::Doctor(command) => command.run(options, terminal),
        Command::GenerateCliReference(command) => command.run(terminal),
    }
}
