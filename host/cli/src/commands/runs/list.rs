//! `sandbar runs list`

use sandbar::protocol::{Clock as _, SystemClock};
use sandbar::store::{RunSummary, SuspensionSummary};
use serde_json::{Value, json};

use super::state::RunState;
use crate::commands::sessions::open;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::moment;
use crate::options::Options;
use crate::question::span;
use crate::sanitise::one_line;
use crate::style::{Paint, Style};
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// List the runs that have not ended, oldest first, and what they wait for; times are in UTC
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

impl List {
    pub(super) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let directory = options.journal_dir()?;
        let mut states = Vec::new();
        if let Some(store) = open(&directory)? {
            for run in store.unfinished_runs()? {
                states.push(RunState::of(&store, run)?);
            }
        }
        if terminal.json {
            states.iter().for_each(|state| terminal.json_line(&as_json(state)));
        } else if states.is_empty() {
            terminal.note(&format!("every run in `{}` has ended", directory.display()));
        } else {
            let now_ms = SystemClock.now_ms();
            terminal.lines(lines(&states, now_ms, terminal.paint(Stream::Out)));
        }
        Ok(Exit::Ok)
    }
}

/// A row for each run, and below it a line for each of its questions.
fn lines(states: &[RunState], now_ms: u64, paint: Paint) -> Vec<String> {
    let mut table = Table::with_header(&["RUN", "SESSION", "STATE", "AGENT", "SINCE", "MESSAGE"]);
    for state in states {
        table.row([
            cell(Style::Bold, state.run.id.as_str()),
            plain(state.run.session.as_str()),
            cell(colour(state), state.words()),
            plain(one_line(&state.run.agent, 40)),
            plain(moment(state.run.started_ms)),
            plain(format!("{}{}", above(&state.run), one_line(&state.message, 60))),
        ]);
    }
    let mut rows = table.lines(paint).into_iter();
    let mut lines: Vec<String> = rows.next().into_iter().collect();
    for (row, state) in rows.zip(states) {
        lines.push(row);
        lines.extend(state.open().map(|found| question(found, now_ms, paint)));
    }
    lines
}

/// Whom a run works for.
fn above(run: &RunSummary) -> String {
    run.parent
        .as_ref()
        .map_or_else(String::new, |parent| format!("for {parent}: "))
}

fn colour(state: &RunState) -> Style {
    match state.word() {
        "waiting" | "waiting-for-run" => Style::Yellow,
        "running" => Style::Green,
        "answered" => Style::Cyan,
        _ => Style::Red,
    }
}

fn question(found: &SuspensionSummary, now_ms: u64, paint: Paint) -> String {
    let suspension = &found.suspension;
    let left = suspension.expires_ms.saturating_sub(now_ms);
    let expiry = match left {
        0 => "has expired".to_owned(),
        left => format!("expires in {}", span(left)),
    };
    format!(
        "  {} {}  {}  {}  {}",
        paint.with(Style::Yellow, "?"),
        suspension.id,
        suspension.kind.as_str(),
        one_line(&suspension.question, 80),
        paint.with(Style::Dim, &expiry)
    )
}

/// What a program learns of a run; `runs show` has more.
pub(super) fn as_json(state: &RunState) -> Value {
    let run = &state.run;
    json!({
        "id": run.id,
        "session": run.session,
        "agent": run.agent,
        "parent": run.parent,
        "state": state.word(),
        "process": state.holder,
        "stop_reason": run.stop_reason,
        "started_ms": run.started_ms,
        "finished_ms": run.finished_ms,
        "cancel_asked": run.cancel_asked,
        "message": state.message,
        "suspensions": state.open().map(|found| json!(found.suspension)).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use sandbar::protocol::{RunId, SessionId, Suspension, SuspensionKind};
    use sandbar::store::SuspensionState;

    use super::*;
    use crate::answer::tests::suspension;

    fn state(holder: Option<&str>, asked: Option<SuspensionState>) -> RunState {
        let (run, session) = (RunId::parse("r-1").unwrap(), SessionId::parse("talk").unwrap());
        let suspension = Suspension {
            question: "may\u{1b}[2J it\nbe?".to_owned(),
            expires_ms: 7_200_000,
            ..suspension(SuspensionKind::Approval)
        };
        let asked = asked.map(|state| SuspensionSummary {
            suspension,
            session: session.clone(),
            run: run.clone(),
            asked_ms: 0,
            state,
            answer: None,
        });
        RunState {
            run: RunSummary {
                id: run,
                session,
                parent: None,
                agent: "main".to_owned(),
                stop_reason: None,
                first_sequence: 1,
                last_sequence: None,
                started_ms: 0,
                finished_ms: None,
                cancel_asked: false,
            },
            suspensions: asked.into_iter().collect(),
            holder: holder.map(str::to_owned),
            child: None,
            message: "do\nit".to_owned(),
        }
    }

    #[test]
    fn what_waits_stands_below_its_run() {
        let check = |state: RunState, now_ms: u64, words: &str, below: &[String]| {
            let lines = lines(&[state], now_ms, Paint { coloured: false });
            assert!(
                lines[1].starts_with(&format!("r-1  talk     {words}  main")),
                "{lines:?}"
            );
            assert!(lines[1].ends_with("do it"), "{lines:?}");
            assert_eq!(lines[2..], *below);
        };
        let id = suspension(SuspensionKind::Approval).id;
        let open = Some(SuspensionState::Open);
        let asked = |expiry: &str| [format!("  ? {id}  approval  may it be?  {expiry}")];
        check(state(None, open), 0, "waiting for an answer", &asked("expires in 2 h"));
        check(
            state(Some("7"), open),
            7_200_000,
            "waiting for an answer in process 7",
            &asked("has expired"),
        );
        check(state(Some("7"), None), 0, "running in process 7", &[]);
        check(
            state(None, Some(SuspensionState::Answered)),
            0,
            "answered, not gone on yet",
            &[],
        );
        check(state(None, Some(SuspensionState::Resumed)), 0, "cut off", &[]);
        let child = RunId::parse("r-2").ok();
        let above = RunState {
            child,
            ..state(None, None)
        };
        check(above, 0, "waiting for r-2", &[]);
    }
}
