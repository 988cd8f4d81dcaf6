//! `sandbar runs show`

use sandbar::protocol::{EventBody, Result, RunId};
use sandbar::store::{EffectKind, EffectOutcome, EffectSummary, Store, SuspensionState, SuspensionSummary};
use serde_json::{Value, json};

use super::state::{RunState, each_event};
use super::{journal, list, steps};
use crate::answer::shown;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::moment;
use crate::options::Options;
use crate::sanitise::one_line;
use crate::style::{Paint, Style};
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};
use crate::waiting;

/// Show one run: its steps, its calls, what it asked and who answered; starts nothing
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The run, as `sandbar runs list` or `sandbar sessions show` names it
    #[arg(value_name = "RUN", value_parser = RunId::parse)]
    id: RunId,
}

impl Show {
    pub(super) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let store = journal(options)?;
        let state = RunState::of(&store, store.run(&self.id)?)?;
        let effects = store.effects(&self.id)?;
        let steps = decided(&store, &state)?;
        if terminal.json {
            let mut value = list::as_json(&state);
            value["steps"] = steps.iter().map(|(_, value)| value.clone()).collect();
            value["effects"] = effects.iter().map(effect_json).collect();
            value["suspensions"] = state.suspensions.iter().map(suspension_json).collect();
            terminal.json_line(&value);
            return Ok(Exit::Ok);
        }
        let paint = terminal.paint(Stream::Out);
        terminal.lines(facts(&state, paint));
        let heading = |title: &str| format!("\n{}", paint.with(Style::Bold, title));
        terminal.line(&heading("steps"));
        terminal.lines(steps.into_iter().map(|(line, _)| line));
        if !effects.is_empty() {
            terminal.line(&heading("calls"));
            terminal.lines(effect_lines(&effects, paint));
        }
        if !state.suspensions.is_empty() {
            terminal.line(&heading("questions"));
            terminal.lines(state.suspensions.iter().map(suspension_line));
            terminal.lines(waiting::of_run(&store, &self.id, &options.repeated(), paint)?);
        }
        Ok(Exit::Ok)
    }
}

fn facts(state: &RunState, paint: Paint) -> Vec<String> {
    let run = &state.run;
    let mut table = Table::default();
    let mut fact = |name: &str, value: String| table.row([cell(Style::Dim, name), plain(value)]);
    fact("run", run.id.to_string());
    fact("session", run.session.to_string());
    fact("agent", one_line(&run.agent, 40));
    if let Some(parent) = &run.parent {
        fact("works for", parent.to_string());
    }
    fact("state", state.words());
    fact("since", format!("{} UTC", moment(run.started_ms)));
    if let Some(finished_ms) = run.finished_ms {
        fact("until", format!("{} UTC", moment(finished_ms)));
    }
    fact("message", one_line(&state.message, 200));
    table.lines(paint)
}

/// Each step's decision, for people and for programs.
fn decided(store: &Store, state: &RunState) -> Result<Vec<(String, Value)>> {
    let mut decided = Vec::new();
    each_event(store, &state.run, |event| {
        if let EventBody::StepDecided { step, actions, .. } = &event.body {
            let line = format!("{step:>3}  {}", steps::actions(actions));
            decided.push((line, json!({ "step": step, "actions": actions })));
        }
    })?;
    Ok(decided)
}

fn effect_lines(effects: &[EffectSummary], paint: Paint) -> Vec<String> {
    let mut table = Table::default();
    for effect in effects {
        let outcome = outcome(effect);
        let style = match outcome {
            "finished" => Style::Green,
            "not known" => Style::Yellow,
            _ => Style::Red,
        };
        table.row([
            plain(format!("{:>3}", effect.ordinal)),
            plain(kind(effect)),
            plain(one_line(&effect.name, 100)),
            cell(style, outcome),
            cell(Style::Dim, one_line(&effect.id, 100)),
        ]);
    }
    table.lines(paint)
}

fn effect_json(effect: &EffectSummary) -> Value {
    json!({
        "id": effect.id,
        "ordinal": effect.ordinal,
        "kind": kind(effect),
        "name": effect.name,
        "idempotent": effect.idempotent,
        "idempotency_key": effect.idempotency_key,
        "outcome": effect.outcome.map(|_| outcome(effect)),
    })
}

fn kind(effect: &EffectSummary) -> &'static str {
    match effect.kind {
        EffectKind::Model => "model",
        EffectKind::Tool => "tool",
        EffectKind::Delegate => "delegate",
        EffectKind::Memory => "memory",
    }
}

fn outcome(effect: &EffectSummary) -> &'static str {
    match effect.outcome {
        Some((EffectOutcome::Finished, _)) => "finished",
        Some((EffectOutcome::Failed, _)) => "failed",
        Some((EffectOutcome::Discarded, _)) => "discarded",
        None => "not known",
    }
}

fn suspension_line(found: &SuspensionSummary) -> String {
    let what = match (&found.answer, found.state) {
        (Some(answer), _) => {
            let value = shown(answer.value.get("decision").unwrap_or(&answer.value));
            format!("{value}, by {}", one_line(&answer.by, 40))
        }
        (None, SuspensionState::Open) => "not answered yet".to_owned(),
        (None, _) => "not answered".to_owned(),
    };
    format!("  {}  {}  {what}", found.suspension.id, found.suspension.kind.as_str())
}

fn suspension_json(found: &SuspensionSummary) -> Value {
    let mut value = json!(found.suspension);
    value["asked_ms"] = json!(found.asked_ms);
    value["state"] = json!(match found.state {
        SuspensionState::Open => "open",
        SuspensionState::Answered => "answered",
        SuspensionState::Resumed => "resumed",
        SuspensionState::Closed => "closed",
    });
    value["answer"] = json!(found.answer);
    value
}
