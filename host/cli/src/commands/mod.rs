//! The subcommands, one file each.

mod audit;
mod chat;
mod completions;
mod config;
mod demo;
mod doctor;
mod event_reference;
mod grants;
mod init;
mod man;
mod memory;
mod plugins;
mod reference;
mod run;
mod runs;
mod sessions;
mod welcome;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::options::Options;
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Run(run::Run),
    Chat(chat::Chat),
    #[command(subcommand)]
    Plugins(plugins::PluginsCommand),
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    #[command(subcommand)]
    Memory(memory::MemoryCommand),
    #[command(subcommand)]
    Grants(grants::GrantsCommand),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
    GenerateCliReference(reference::GenerateCliReference),
    GenerateEventReference(event_reference::GenerateEventReference),
}

pub(crate) fn run(command: Option<Command>, options: &Options, terminal: &Terminal) -> Outcome {
    let Some(command) = command else {
        return welcome::show(options, terminal);
    };
    match command {
        Command::Demo(command) => command.run(terminal),
        Command::Init(command) => command.run(terminal),
        Command::Run(command) => command.run(options, terminal),
        Command::Chat(command) => command.run(options, terminal),
        Command::Plugins(command) => command.run(options, terminal),
        Command::Sessions(command) => command.run(options, terminal),
        Command::Runs(command) => command.run(options, terminal),
        Command::Memory(command) => command.run(options, terminal),
        Command::Grants(command) => command.run(options, terminal),
        Command::Audit(command) => command.run(options, terminal),
        Command::Config(command) => command.run(options, terminal),
        Command::Doctor(command) => command.run(options, terminal),
        Command::Completions(command) => command.run(terminal),
        Command::Man(command) => command.run(terminal),
        Command::GenerateCliReference(command) => command.run(terminal),
        Command::GenerateEventReference(command) => command.run(terminal),
    }
}
