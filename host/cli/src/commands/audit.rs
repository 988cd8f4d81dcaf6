//! `sandbar audit`: what was done, who decided it, and whether somebody has changed that since.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use sandbar::protocol::{Clock as _, DecidedBy, Error, ErrorKind, Result, SessionId, SystemClock};
use sandbar::store::{AuditCheck, AuditFilter, AuditHash, AuditRecord, AuditSpan};
use serde_json::json;

use crate::commands::sessions::{no_journal, open};
use crate::exit::Exit;
use crate::failure::{Outcome, file_failed};
use crate::lines::{count, moment};
use crate::number;
use crate::options::Options;
use crate::sanitise::one_line;
use crate::style::Style;
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// The longest line of an export that is read.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Look at what was done and who decided it, and check that it was not changed since
///
/// Every call of a model, a tool, a memory or another agent has an entry, and so has every answer of a person, every request and every
/// secret of a plugin, and every approval. Each entry is chained to the one before with SHA-256. Arguments are there as digests only.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    List(List),
    Verify(Verify),
    Export(Export),
}

/// List entries, oldest first; times are in UTC
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Of one session
    #[arg(long, value_name = "ID", value_parser = SessionId::parse)]
    session: Option<SessionId>,
    /// About one plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Of one kind, such as `tool.call`, or `plugin` for all that begin with `plugin.`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Not older than this: `90s`, `15m`, `2h` or `7d`
    #[arg(long, value_name = "TIME", value_parser = number::span)]
    since: Option<u64>,
    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number::count)]
    limit: usize,
}

/// Check that no entry was changed, taken out or put in
///
/// The exit code is 8 if one was, and the first that is not as it was written is named. That entries are missing at the end, or that
/// everything was written anew, the chain can't tell by itself: for that, keep the last hash, which this shows, at another place, and
/// give it as `--head` next time.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// An export, instead of the journal
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A hash that was the last one at some time, and must still be there
    #[arg(long, value_name = "HASH", value_parser = AuditHash::parse)]
    head: Option<AuditHash>,
}

/// Print entries as JSON, one a line, with their hashes, so that they can be checked elsewhere
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Begin with this entry
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number::number::<u64>("the number of an entry", 0..=u64::MAX, "`sandbar audit list` numbers them"))]
    from: u64,
}

impl AuditCommand {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        match self {
            Self::List(command) => command.run(options, terminal),
            Self::Verify(command) => command.run(options, terminal),
            Self::Export(command) => command.run(options, terminal),
        }
    }
}

impl List {
    fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let directory = options.journal_dir()?;
        let filter = AuditFilter {
            session: self.session,
            plugin: self.plugin,
            action: self.action,
            since_ms: self.since.map(|span| SystemClock.now_ms().saturating_sub(span)),
        };
        let entries = match open(&directory)? {
            Some(store) => store.audit_entries(&filter, self.limit)?,
            None => Vec::new(),
        };
        if terminal.json {
            entries.iter().for_each(|record| terminal.json_line(record));
            return Ok(Exit::Ok);
        }
        if entries.is_empty() {
            terminal.note(&format!("no such entry in `{}`", directory.display()));
            return Ok(Exit::Ok);
        }
        let mut table = Table::with_header(&["N", "WHEN", "ACTION", "TARGET", "DECISION", "BY", "SESSION"]);
        for record in &entries {
            let entry = &record.entry;
            let style = match entry.decision.as_str() {
                "allowed" => Style::Green,
                "denied" => Style::Red,
                _ => Style::Yellow,
            };
            let session = entry.session.as_ref().map(SessionId::as_str).unwrap_or_default();
            table.row([
                cell(Style::Dim, record.id.to_string()),
                plain(moment(record.at_ms)),
                cell(Style::Bold, one_line(&entry.action, 40)),
                plain(one_line(&entry.target, 80)),
                cell(style, entry.decision.as_str()),
                plain(one_line(&decider(&entry.by), 60)),
                cell(Style::Dim, session),
            ]);
        }
        terminal.lines(table.lines(terminal.paint(Stream::Out)));
        Ok(Exit::Ok)
    }
}

impl Verify {
    fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let span = match &self.file {
            Some(file) => verify_file(file, self.head)?,
            None => {
                let directory = options.journal_dir()?;
                let store = open(&directory)?.ok_or_else(|| no_journal(&directory))?;
                store.verify_audit(self.head)?
            }
        };
        match (span, terminal.json) {
            (Some(AuditSpan { first, last, head }), true) => {
                terminal.json_line(&json!({ "sound": true, "first": first, "last": last, "head": head }));
            }
            (None, true) => terminal.json_line(&json!({ "sound": true, "first": null, "last": null, "head": null })),
            (Some(span), false) => {
                let entries = count(span.last - span.first + 1, "entry").replace("entrys", "entries");
                let from = if span.first == 1 {
                    String::new()
                } else {
                    format!(" from {} on", span.first)
                };
                terminal.line(&format!(
                    "{entries}{from}, none changed; the last hash is {}",
                    span.head
                ));
            }
            (None, false) => terminal.line("no entries"),
        }
        Ok(Exit::Ok)
    }
}

impl Export {
    fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let directory = options.journal_dir()?;
        let store = open(&directory)?.ok_or_else(|| no_journal(&directory))?;
        store.each_audit_entry(self.from, |record| {
            terminal.json_line(record);
            Ok(())
        })?;
        Ok(Exit::Ok)
    }
}

/// The same check as of the journal's table, without a journal.
fn verify_file(path: &Path, head: Option<AuditHash>) -> Result<Option<AuditSpan>> {
    let file = File::open(path).map_err(|error| file_failed("read", path, error))?;
    let mut lines = BufReader::new(file);
    let mut check = AuditCheck::new(head);
    let mut number = 0;
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        if read.map_err(|error| file_failed("read", path, error))? == 0 {
            return check.finish();
        }
        number += 1;
        let record: AuditRecord = serde_json::from_slice(&line).map_err(|error| {
            let message = format!("line {number} of `{}` is no entry of an audit: {error}", path.display());
            Error::new(ErrorKind::Storage, "audit-damaged", message)
                .with_hint("`sandbar audit export` writes such a file, one entry a line")
        })?;
        check.take(&record)?;
    }
}

fn decider(by: &DecidedBy) -> String {
    match by {
        DecidedBy::Person(name) => name.clone(),
        DecidedBy::Rule(line) => format!("rule {line}"),
        DecidedBy::Default => "default".to_owned(),
    }
}
