//! `sandbar runs replay`

use std::collections::HashMap;

use sandbar::Replay;
use sandbar::agent::ReplayedStep;
use sandbar::protocol::{Decision, Error, ErrorKind, EventBody, Result, RunId};
use sandbar::store::{RunSummary, Store};
use serde_json::{Value, json};

use super::state::each_event;
use super::{journal, open_runtime, steps};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::{count, reason};
use crate::model_flags::ModelFlags;
use crate::number::number;
use crate::options::Options;
use crate::sanitise::one_line;
use crate::style::{Paint, Style};
use crate::terminal::{Stream, Terminal};

/// Run the pattern again on what it saw in a recorded run, and compare what it decides
///
/// Calls no model and no tool. The exit code is 7 if a step is decided in another way than it was.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayRun {
    /// The run, as `sandbar sessions show` names it
    #[arg(value_name = "RUN", value_parser = RunId::parse)]
    id: RunId,
    /// Show this step alone, and the model's messages in full
    #[arg(long, value_name = "N", value_parser = number::<u32>("the number of a step", 1..=u32::MAX.into(), "`sandbar runs replay RUN` numbers them"))]
    step: Option<u32>,
    #[command(flatten)]
    model: ModelFlags,
}

/// The model calls of each step, by the step's number.
type Calls = HashMap<u32, Vec<String>>;

impl ReplayRun {
    pub(super) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let store = journal(options)?;
        let run = store.run(&self.id)?;
        let calls = calls(&store, &run)?;
        drop(store);
        let config = self.model.config(options, Some(&run.agent))?;
        Options::enclose(&config)?;
        Options::block_on(async {
            let runtime = open_runtime(config, &run.agent, terminal).await?;
            let replay = runtime.replay(&self.id).await;
            runtime.close().await;
            let replay = replay?;
            let wanted = |step: &&ReplayedStep| self.step.is_none_or(|number| number == step.step);
            let shown: Vec<&ReplayedStep> = replay.steps.iter().filter(wanted).collect();
            if let (Some(number), true) = (self.step, shown.is_empty()) {
                return Err(no_step(&self.id, number, replay.steps.len()).into());
            }
            if terminal.json {
                terminal.json_line(&as_json(&replay, &shown, &calls));
            } else {
                let paint = terminal.paint(Stream::Out);
                terminal.lines(heading(&replay, paint));
                let whole = self.step.is_some();
                for step in shown {
                    terminal.lines(step_lines(step, &seen(&replay, step, &calls), whole, paint));
                }
                terminal.line(&format!("\n{}", verdict(&replay, paint)));
            }
            Ok(match replay.agrees() {
                true => Exit::Ok,
                false => Exit::Plugin,
            })
        })
    }
}

fn calls(store: &Store, run: &RunSummary) -> Result<Calls> {
    let (mut calls, mut current) = (Calls::new(), 0);
    each_event(store, run, |event| match &event.body {
        EventBody::StepDecided { step, .. } => current = *step,
        EventBody::ModelStarted { effect, .. } => {
            let calls = calls.entry(current).or_default();
            // A call that is made again is still one.
            if !calls.contains(effect) {
                calls.push(effect.clone());
            }
        }
        _ => {}
    })?;
    Ok(calls)
}

/// What the model was sent at a step: for each call its effect and its messages.
type Seen<'a> = Vec<(&'a str, &'a [std::sync::Arc<sandbar::protocol::Message>])>;

fn seen<'a>(replay: &'a Replay, step: &ReplayedStep, calls: &'a Calls) -> Seen<'a> {
    let effects = calls.get(&step.step).into_iter().flatten();
    let with_messages = |effect: &'a String| Some((effect.as_str(), replay.seen.get(effect)?.as_slice()));
    effects.filter_map(with_messages).collect()
}

fn heading(replay: &Replay, paint: Paint) -> Vec<String> {
    let short = |digest: &str| one_line(digest, 13);
    let mut lines = vec![format!(
        "{} {}",
        paint.with(Style::Bold, replay.run.as_str()),
        paint.with(
            Style::Dim,
            &format!(
                "· pattern {} · {}",
                one_line(&replay.pattern, 100),
                short(&replay.digest)
            )
        )
    )];
    if replay.digest != replay.recorded_digest {
        let text = format!("! recorded with another component: {}", short(&replay.recorded_digest));
        lines.push(paint.with(Style::Yellow, &text));
    }
    lines
}

fn step_lines(step: &ReplayedStep, seen: &Seen<'_>, whole: bool, paint: Paint) -> Vec<String> {
    let dim = |text: &str| paint.with(Style::Dim, text);
    let mut lines = vec![format!("\n{}", paint.with(Style::Bold, &format!("step {}", step.step)))];
    lines.extend(
        step.changes
            .iter()
            .map(|change| format!("  {} {}", dim("saw    "), steps::change(change))),
    );
    match (&step.decided, step.agrees()) {
        (_, true) => lines.push(format!(
            "  {} {}",
            dim("decided"),
            steps::actions(&step.recorded.actions)
        )),
        (decided, false) => {
            let now = match decided {
                Ok(decided) => differing(decided, &step.recorded),
                Err(error) => one_line(&reason(error), 200),
            };
            let mark = |text: &str| paint.with(Style::Red, text);
            lines.push(format!(
                "{} {} {}",
                mark("✗"),
                mark("then   "),
                steps::actions(&step.recorded.actions)
            ));
            lines.push(format!("{} {} {now}", mark("✗"), mark("now    ")));
        }
    }
    for (effect, messages) in seen {
        let title = format!(
            "{} was sent {}",
            one_line(effect, 100),
            count(messages.len() as u64, "message")
        );
        lines.push(format!("  {} {}", dim("model  "), dim(&title)));
        let text = messages.iter().flat_map(|message| match whole {
            true => steps::message_lines(message),
            false => vec![steps::message_line(message)],
        });
        lines.extend(text.map(|line| format!("    {} {line}", dim("│"))));
    }
    lines
}

/// What is decided now, where it is not what was decided then.
fn differing(now: &Decision, then: &Decision) -> String {
    let actions = steps::actions(&now.actions);
    match now.actions == then.actions {
        true => format!("{actions} (with another state)"),
        false if actions == steps::actions(&then.actions) => format!("{actions} (`--json` shows the difference)"),
        false => actions,
    }
}

fn verdict(replay: &Replay, paint: Paint) -> String {
    let differ = replay.steps.iter().filter(|step| !step.agrees()).count() as u64;
    let all = count(replay.steps.len() as u64, "step");
    match differ {
        0 => format!(
            "{} {all}",
            paint.with(Style::Green, "the pattern decides what it decided, in")
        ),
        differ => format!(
            "{} of {all}",
            paint.with(Style::Red, &format!("the pattern decides otherwise in {differ}"))
        ),
    }
}

fn as_json(replay: &Replay, shown: &[&ReplayedStep], calls: &Calls) -> Value {
    let decision = |decision: &Decision| json!({ "actions": decision.actions, "state": decision.state });
    let step = |step: &&ReplayedStep| {
        let seen = seen(replay, step, calls);
        let model = seen.iter().map(|(effect, messages)| {
            let messages: Vec<_> = messages.iter().map(AsRef::as_ref).collect();
            json!({ "effect": effect, "messages": messages })
        });
        json!({
            "step": step.step,
            "agrees": step.agrees(),
            "saw": step.changes,
            "then": decision(&step.recorded),
            "now": match &step.decided {
                Ok(decided) => decision(decided),
                Err(error) => json!({ "error": error }),
            },
            "model": model.collect::<Vec<_>>(),
        })
    };
    json!({
        "run": replay.run,
        "pattern": replay.pattern,
        "recorded_digest": replay.recorded_digest,
        "digest": replay.digest,
        "agrees": replay.agrees(),
        "steps": shown.iter().map(step).collect::<Vec<_>>(),
    })
}

fn no_step(run: &RunId, number: u32, steps: usize) -> Error {
    let message = format!("the run `{run}` has no step {number}");
    Error::new(ErrorKind::NotFound, "no-step", message).with_hint(format!("it has {}", count(steps as u64, "step")))
}
