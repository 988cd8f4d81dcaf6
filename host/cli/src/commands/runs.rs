//! `sandbar runs`: runs that wait, that were cut off, and what was recorded of them.

mod answer;
mod list;
mod replay;
mod show;
mod state;
mod steps;

use clap::Subcommand;
use sandbar::Runtime;
use sandbar::config::Config;
use sandbar::protocol::RunId;
use sandbar::store::Store;

use crate::commands::run::{follow, warn_of_broken_plugins};
use crate::commands::sessions::{no_journal, open};
use crate::consent::{ConsentFlags, Desk, Presence};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::summary;
use crate::lock_notes;
use crate::model_flags::ModelFlags;
use crate::options::Options;
use crate::progress::open_options;
use crate::terminal::{Stream, Terminal};
use crate::waiting;

/// Look at runs that wait or were cut off, answer them, go on with them, and replay recorded ones
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    List(list::List),
    Show(show::Show),
    Answer(answer::AnswerQuestion),
    Resume(Resume),
    Cancel(Cancel),
    Replay(replay::ReplayRun),
}

/// Go on with a run that was cut off
///
/// A run that waits for an answer goes on here if you are at a terminal: it asks you.
#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// The run, as `sandbar runs list` shows it
    #[arg(value_name = "RUN", value_parser = RunId::parse)]
    id: RunId,
    #[command(flatten)]
    consent: ConsentFlags,
    #[command(flatten)]
    model: ModelFlags,
}

/// End a run that waits, was cut off, or goes on in another process
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The run, as `sandbar runs list` shows it
    #[arg(value_name = "RUN", value_parser = RunId::parse)]
    id: RunId,
    #[command(flatten)]
    model: ModelFlags,
}

impl RunsCommand {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        match self {
            Self::List(command) => command.run(options, terminal),
            Self::Show(command) => command.run(options, terminal),
            Self::Answer(command) => command.run(options, terminal),
            Self::Resume(command) => command.run(options, terminal),
            Self::Cancel(command) => command.run(options, terminal),
            Self::Replay(command) => command.run(options, terminal),
        }
    }
}

impl Resume {
    fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let presence = self.consent.presence()?;
        let store = journal(options)?;
        let run = store.run(&self.id)?;
        // Where nobody is there, what waits for a person goes on waiting.
        let has_ended = run.stop_reason.is_some();
        if matches!(presence, Presence::Nobody) && !has_ended && waiting::is_open(&store, &run.id)? {
            waiting::tell(&store, &run.id, options, terminal)?;
            return Ok(Exit::Waits);
        }
        drop(store);
        let config = self.model.config(options, Some(&run.agent))?;
        Options::enclose(&config)?;
        Options::block_on(async {
            let runtime = open_runtime(config, &run.agent, terminal).await?;
            let mut desk = Desk::new(presence);
            let stream = runtime.resume(&self.id, desk.attended()).await?;
            follow(stream, runtime, options, terminal, &mut desk).await
        })
    }
}

impl Cancel {
    fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let store = journal(options)?;
        let run = store.run(&self.id)?;
        drop(store);
        let config = self.model.config(options, Some(&run.agent))?;
        Options::enclose(&config)?;
        Options::block_on(async {
            let runtime = open_runtime(config, &run.agent, terminal).await?;
            let cancelled = runtime.cancel(&self.id).await;
            runtime.close().await;
            match cancelled? {
                Some(result) if terminal.json => terminal.json_line(&result),
                Some(result) => terminal.note(&format!("  {}", summary(&result, terminal.paint(Stream::Err)))),
                None => left(runtime.store().holder(&run.session)?.as_deref(), "ends it", terminal),
            }
            Ok(Exit::Ok)
        })
    }
}

/// Says who does what was asked for.
fn left(holder: Option<&str>, what: &str, terminal: &Terminal) {
    if terminal.json {
        terminal.json_line(&serde_json::json!({ "left_to_process": holder }));
        return;
    }
    let who = holder.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"));
    terminal.note(&format!("  {who} has the session, and {what}"));
}

fn journal(options: &Options) -> Outcome<Store> {
    let directory = options.journal_dir()?;
    Ok(open(&directory)?.ok_or_else(|| no_journal(&directory))?)
}

async fn open_runtime(config: Config, agent: &str, terminal: &Terminal) -> Outcome<Runtime> {
    let runtime = Runtime::open_with(config, open_options(terminal)).await?;
    lock_notes::tell(runtime.plugins(), runtime.config(), terminal);
    warn_of_broken_plugins(&runtime, agent, terminal);
    Ok(runtime)
}
