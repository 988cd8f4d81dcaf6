//! `sandbar memory`: what an agent remembers beyond its conversations.

use clap::Subcommand;
use sandbar::protocol::{MemoryEntry, MemoryOperation, SessionId};
use sandbar::{AgentMemory, Runtime};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lock_notes;
use crate::options::Options;
use crate::progress::open_options;
use crate::sanitise::one_line;
use crate::style::Style;
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// Entries that are asked for at once.
const PAGE: u32 = 100;
/// Entries that are listed: a plugin could send us from page to page for ever.
const MOST: usize = 10_000;

/// Look at what an agent remembers, add to it, and have it forgotten
#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    List(List),
    Remember(Remember),
    Forget(Forget),
}

/// Whose memory
#[derive(Debug, clap::Args)]
struct Whose {
    /// The agent, if not the default one
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The session, where the memory's grant is `kv = "session"`
    #[arg(long, value_name = "ID", value_parser = SessionId::parse)]
    session: Option<SessionId>,
}

/// List the entries
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    whose: Whose,
}

/// Keep an entry
#[derive(Debug, clap::Args)]
pub(crate) struct Remember {
    #[command(flatten)]
    whose: Whose,
    /// Replace the entry with this id
    #[arg(long, value_name = "ENTRY")]
    id: Option<String>,
    /// What is to be remembered
    text: String,
}

/// Drop an entry
#[derive(Debug, clap::Args)]
pub(crate) struct Forget {
    #[command(flatten)]
    whose: Whose,
    /// The entry, as `sandbar memory list` names it
    #[arg(value_name = "ENTRY")]
    id: String,
}

impl MemoryCommand {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let config = options.config()?;
        Options::enclose(&config)?;
        Options::block_on(async {
            let runtime = Runtime::open_with(config, open_options(terminal)).await?;
            lock_notes::tell(runtime.plugins(), runtime.config(), terminal);
            match self {
                Self::List(List { whose }) => list(&whose.memory(&runtime)?, terminal).await?,
                Self::Remember(command) => command.run(&runtime, terminal).await?,
                Self::Forget(Forget { whose, id }) => {
                    let operation = MemoryOperation::Forget { id: id.clone() };
                    whose.memory(&runtime)?.call(operation).await?;
                    match terminal.json {
                        true => terminal.json_line(&json!({ "forgotten": id })),
                        false => terminal.note(&format!("forgot {}", one_line(&id, 128))),
                    }
                }
            }
            runtime.close().await;
            Ok(Exit::Ok)
        })
    }
}

impl Whose {
    fn memory(&self, runtime: &Runtime) -> Outcome<AgentMemory> {
        Ok(runtime.memory(self.agent.as_deref(), self.session.as_ref())?)
    }
}

impl Remember {
    async fn run(self, runtime: &Runtime, terminal: &Terminal) -> Outcome<()> {
        let entry = MemoryEntry {
            id: self.id.unwrap_or_default(),
            text: self.text,
            ..MemoryEntry::default()
        };
        let kept = self
            .whose
            .memory(runtime)?
            .call(MemoryOperation::Remember { entry })
            .await?;
        let id = kept.id.unwrap_or_default();
        match terminal.json {
            true => terminal.json_line(&json!({ "id": id })),
            false => terminal.line(&one_line(&id, 128)),
        }
        Ok(())
    }
}

async fn list(memory: &AgentMemory, terminal: &Terminal) -> Outcome<()> {
    let mut entries = Vec::new();
    let mut after = None;
    loop {
        let limit = PAGE;
        let page = memory
            .call(MemoryOperation::List {
                after: after.take(),
                limit,
            })
            .await?;
        let ends = page.next.is_none() || page.entries.is_empty();
        entries.extend(page.entries);
        if ends || entries.len() >= MOST {
            break;
        }
        after = page.next;
    }
    if terminal.json {
        entries.iter().for_each(|entry| terminal.json_line(entry));
        return Ok(());
    }
    if entries.is_empty() {
        terminal.note(&format!("the memory `{}` has nothing", memory.name()));
        return Ok(());
    }
    let mut table = Table::with_header(&["ENTRY", "TEXT"]);
    for entry in &entries {
        table.row([
            cell(Style::Bold, one_line(&entry.id, 128)),
            plain(one_line(&entry.text, 200)),
        ]);
    }
    terminal.lines(table.lines(terminal.paint(Stream::Out)));
    Ok(())
}
