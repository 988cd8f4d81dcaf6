//! `sandbar sessions`: what the journal holds.

use std::path::Path;

use clap::Subcommand;
use sandbar::protocol::{Error, ErrorKind, Event, EventBody, Result, SessionId};
use sandbar::store::{SessionSummary, Store, StoreOptions};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::{count, event_line, moment, stop_reason, summary};
use crate::number;
use crate::options::Options;
use crate::sanitise::{one_line, sanitise};
use crate::style::{Paint, Style};
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// Look at the sessions in the journal
#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    List(List),
    Show(Show),
    Follow(Follow),
}

/// List the sessions, newest first; times are in UTC
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// How many
    #[arg(long, default_value_t = 20, value_parser = number::count)]
    limit: usize,
}

/// Show what happened in a session
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The session, as `sandbar sessions list` shows it
    #[arg(value_parser = SessionId::parse)]
    id: SessionId,
}

/// Show what happens in a session, also while another process runs it
///
/// Ends when no run goes on: it has ended, waits for an answer, or its process died. To go on later, give the last sequence that was
/// shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Follow {
    /// The session, as `sandbar sessions list` shows it
    #[arg(value_parser = SessionId::parse)]
    id: SessionId,
    /// Begin with the event that follows this one
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0, value_parser = number::number::<u64>("a sequence", 0..=u64::MAX, "events are numbered from 1 in each session"))]
    after: u64,
}

impl SessionsCommand {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let directory = options.data_dir()?;
        match self {
            Self::List(command) => command.run(&directory, terminal),
            Self::Show(command) => command.run(&directory, terminal),
            Self::Follow(command) => command.run(&directory, terminal),
        }
    }
}

impl List {
    fn run(self, directory: &Path, terminal: &Terminal) -> Outcome {
        let sessions = match open(directory)? {
            Some(store) => store.sessions(self.limit, None)?,
            None => Vec::new(),
        };
        if terminal.json {
            for session in &sessions {
                terminal.json_line(&json(session));
            }
        } else if sessions.is_empty() {
            terminal.note(&format!("no session in `{}`", directory.display()));
        } else {
            let mut table = Table::with_header(&["SESSION", "UPDATED", "AGENT", "RUNS", "LAST RUN", "FIRST MESSAGE"]);
            for session in &sessions {
                table.row([
                    cell(Style::Bold, session.id.as_str()),
                    plain(moment(session.updated_ms)),
                    plain(one_line(&session.agent, 40)),
                    plain(session.runs.to_string()),
                    plain(session.last_stop_reason.map_or("not finished", stop_reason)),
                    plain(format!("{}{}", above(session), one_line(&session.title, 60))),
                ]);
            }
            terminal.lines(table.lines(terminal.paint(Stream::Out)));
        }
        Ok(Exit::Ok)
    }
}

impl Show {
    fn run(self, directory: &Path, terminal: &Terminal) -> Outcome {
        let store = open(directory)?.ok_or_else(|| no_journal(directory))?;
        let session = store.session(&self.id)?;
        let paint = terminal.paint(Stream::Out);
        if let (Some(session), false) = (&session, terminal.json) {
            terminal.line(&header(session, paint));
        }
        store.each_event(&self.id, 0, |event| show(event, paint, terminal))?;
        Ok(Exit::Ok)
    }
}

impl Follow {
    fn run(self, directory: &Path, terminal: &Terminal) -> Outcome {
        let store = open(directory)?.ok_or_else(|| no_journal(directory))?;
        let paint = terminal.paint(Stream::Out);
        Options::block_on(async {
            let mut events = store.follow(&self.id, self.after);
            while let Some(event) = events.next().await {
                show(&*event?, paint, terminal);
            }
            Ok(Exit::Ok)
        })
    }
}

fn show(event: &Event, paint: Paint, terminal: &Terminal) {
    if terminal.json {
        terminal.json_line(event);
    } else {
        terminal.lines(event_lines(event, paint));
    }
}

/// None where there is no data directory: looking makes none.
pub(super) fn open(directory: &Path) -> Result<Option<Store>> {
    if !directory.exists() {
        return Ok(None);
    }
    Store::open(directory, StoreOptions::default()).map(Some)
}

pub(super) fn no_journal(directory: &Path) -> Error {
    let message = format!(
        "there is no journal, since there is no directory `{}`",
        directory.display()
    );
    Error::new(ErrorKind::NotFound, "no-journal", message)
        .with_hint("name the directory with `--data-dir`, or run an agent first")
}

fn json(session: &SessionSummary) -> Value {
    json!({
        "id": session.id,
        "agent": session.agent,
        "title": session.title,
        "workspace": session.workspace,
        "created_ms": session.created_ms,
        "updated_ms": session.updated_ms,
        "events": session.events,
        "runs": session.runs,
        "last_run": session.last_run,
        "delegated_by": session.delegated_by,
        "last_stop_reason": session.last_stop_reason,
    })
}

fn header(session: &SessionSummary, paint: Paint) -> String {
    let mut facts = vec![
        format!("agent {}", one_line(&session.agent, 40)),
        count(session.runs, "run"),
        count(session.events, "event"),
        format!("since {}", moment(session.created_ms)),
    ];
    if let Some(parent) = &session.delegated_by {
        facts.push(format!("works for {parent}"));
    }
    let id = paint.with(Style::Bold, session.id.as_str());
    format!("{id}  {}", paint.with(Style::Dim, &facts.join(" · ")))
}

/// Whom the session works for.
fn above(session: &SessionSummary) -> String {
    let parent = session.delegated_by.as_ref();
    parent.map_or_else(String::new, |parent| format!("for {parent}: "))
}

fn event_lines(event: &Event, paint: Paint) -> Vec<String> {
    let heading = |title: &str| format!("\n{}", paint.with(Style::Bold, title));
    match &event.body {
        EventBody::RunStarted { agent, message, .. } => {
            let facts = format!("{} · {} · {}", event.run, one_line(agent, 40), moment(event.at_ms));
            vec![
                format!("\n{}", paint.with(Style::Dim, &format!("── {facts}"))),
                heading("user"),
                sanitise(message).into_owned(),
            ]
        }
        EventBody::ModelFinished { thread, reply, .. } if thread == "main" && !reply.message.text.is_empty() => {
            vec![heading("model"), sanitise(reply.message.text.trim_end()).into_owned()]
        }
        EventBody::RunFinished(result) => {
            let mut lines = vec![format!("\n{}", summary(result, paint))];
            if let Some(error) = &result.error {
                lines.push(format!(
                    "{} {}",
                    paint.with(Style::Red, "error:"),
                    sanitise(&error.message)
                ));
            }
            lines
        }
        body => event_line(body, paint).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use sandbar::protocol::RunId;

    use super::*;

    fn check(body: Value, expected: &str) {
        let event = Event {
            session: SessionId::parse("s-1").unwrap(),
            sequence: 1,
            run: RunId::parse("r-1").unwrap(),
            at_ms: 0,
            body: serde_json::from_value(body).unwrap(),
        };
        assert_eq!(event_lines(&event, Paint { coloured: false }).join("\n"), expected);
    }

    #[test]
    fn a_session_reads_as_a_transcript() {
        check(
            json!({ "type": "run.started", "agent": "main", "message": "do\u{1b}[2J it", "workspace": null }),
            "\n── r-1 · main · 1970-01-01 00:00\n\nuser\ndo it",
        );
        let reply = json!({ "message": { "role": "assistant", "text": "Done.\n" }, "finish_reason": "stop" });
        check(
            json!({ "type": "model.finished", "effect": "e", "thread": "main", "ms": 1, "reply": reply }),
            "\nmodel\nDone.",
        );
        check(json!({ "type": "step.decided", "step": 1, "actions": [] }), "");
        check(json!({ "type": "unsupported", "id": "u", "message": "no" }), "  ! no");
        let error = json!({ "code": "c", "kind": "model", "message": "gone" });
        let result = json!({ "type": "run.finished", "result": { "session": "s-1", "run": "r-1", "stop_reason": "model-failed",
            "text": "", "error": error, "steps": 1, "tool_calls": 0, "model_calls": 0, "usage": {}, "wall_ms": 5 } });
        check(
            result,
            "\nmodel failed · 1 step · 0 tool calls · 0 model calls · 5 ms\nerror: gone",
        );
    }
}
