//! `sandbar grants`: what was allowed for more than one call.

use clap::Subcommand;
use sandbar::store::{ApprovalPlace, StandingApproval, Store};
use serde_json::{Value, json};

use crate::commands::sessions::{no_journal, open};
use crate::consent::TERMINAL;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::moment;
use crate::number::number;
use crate::options::Options;
use crate::sanitise::one_line;
use crate::style::Style;
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// The largest number that an approval can have.
const MOST: u64 = i64::MAX as u64;

/// Look at what was allowed with `session` or `always`, and take it back
///
/// What was allowed holds for one component, and for the powers that it had then or fewer: you are asked again when it is granted more.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    List(List),
    Revoke(Revoke),
}

/// List the tools that may be called without asking, and where; times are in UTC
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

/// Ask again before the next call
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// The number, as `sandbar grants list` shows it
    #[arg(value_name = "N", value_parser = number::<u64>("the number of an approval", 1..=MOST, "`sandbar grants list` numbers them"))]
    number: u64,
}

impl GrantsCommand {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        match self {
            Self::List(List {}) => list(options, terminal),
            Self::Revoke(command) => command.run(options, terminal),
        }
    }
}

fn list(options: &Options, terminal: &Terminal) -> Outcome {
    let directory = options.journal_dir()?;
    let Some(store) = open(&directory)? else {
        return Err(no_journal(&directory).into());
    };
    let approvals = store.approvals()?;
    if terminal.json {
        for approval in &approvals {
            terminal.json_line(&as_json(approval));
        }
        return Ok(Exit::Ok);
    }
    if approvals.is_empty() {
        terminal.note("nothing was allowed for more than one call");
        return Ok(Exit::Ok);
    }
    let mut table = Table::with_header(&["N", "TOOL", "WHERE", "BY", "SINCE", "COMPONENT"]);
    for approval in &approvals {
        table.row([
            cell(Style::Bold, approval.id.to_string()),
            plain(one_line(&approval.tool, 100)),
            plain(place(&approval.place, &store)),
            plain(one_line(&approval.by, 40)),
            plain(moment(approval.approved_ms)),
            plain(one_line(&approval.digest, 13)),
        ]);
    }
    terminal.lines(table.lines(terminal.paint(Stream::Out)));
    Ok(Exit::Ok)
}

impl Revoke {
    fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let directory = options.journal_dir()?;
        let store = open(&directory)?.ok_or_else(|| no_journal(&directory))?;
        let approvals = store.approvals()?;
        Options::block_on(async {
            store.revoke_approval(self.number, TERMINAL).await?;
            if let Some(gone) = approvals.iter().find(|approval| approval.id == self.number) {
                match terminal.json {
                    true => terminal.json_line(&as_json(gone)),
                    false => {
                        let (tool, place) = (one_line(&gone.tool, 100), place(&gone.place, &store));
                        terminal.note(&format!("{tool} asks again in {place}"));
                    }
                }
            }
            Ok(Exit::Ok)
        })
    }
}

fn place(place: &ApprovalPlace, store: &Store) -> String {
    match place {
        ApprovalPlace::Session(id) => format!("session {id}"),
        // A workspace that is not in the journal any more still has its id.
        ApprovalPlace::Workspace(id) => match store.workspace(id).ok().flatten() {
            Some(workspace) => format!("workspace {}", one_line(&workspace.path.display().to_string(), 200)),
            None => format!("workspace {id}"),
        },
    }
}

fn as_json(approval: &StandingApproval) -> Value {
    let (kind, place) = match &approval.place {
        ApprovalPlace::Session(id) => ("session", id.as_str()),
        ApprovalPlace::Workspace(id) => ("workspace", id.as_str()),
    };
    json!({
        "number": approval.id,
        "tool": approval.tool,
        kind: place,
        "by": approval.by,
        "approved_ms": approval.approved_ms,
        "digest": approval.digest,
        "authority": approval.authority,
    })
}
