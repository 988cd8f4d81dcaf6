//! What the derived tables must say, told from the events alone.

use std::collections::BTreeMap;

use sandbar_protocol::{
    DelegateOutcome, Event, EventBody, MemoryOutcome, RunId, StopReason, SuspensionId, ToolOutcome,
};
use sandbar_store::{EffectOutcome, EffectSummary, RunSummary, SuspensionState, SuspensionSummary};
use serde_json::Value;

/// A run: its agent, how it ended, and the numbers and times of its first and last event.
type Run = (String, Option<StopReason>, u64, Option<u64>, u64, Option<u64>);

/// An effect: ordinal, name, key, whether it may be repeated, its intent and its outcome.
type Effect = (u32, String, Option<String>, bool, u64, Option<(EffectOutcome, u64)>);

/// A question: its text, what became of it, and the answer with which its run has gone on. Whether somebody has answered one that still
/// waits is no event.
type Question = (String, Became, Option<Value>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Became {
    Waits,
    Resumed,
    Closed,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Derived {
    runs: BTreeMap<RunId, Run>,
    effects: BTreeMap<(RunId, String), Effect>,
    questions: BTreeMap<(RunId, SuspensionId), Question>,
}

/// A run as the store lists it, with its effects and its suspensions.
pub(crate) type Tables = (RunSummary, Vec<EffectSummary>, Vec<SuspensionSummary>);

impl Derived {
    pub(crate) fn from_events(events: &[Event]) -> Self {
        let mut derived = Self::default();
        for event in events {
            derived.take(event);
        }
        derived
    }

    pub(crate) fn from_tables(tables: Vec<Tables>) -> Self {
        let mut derived = Self::default();
        for (run, effects, suspensions) in tables {
            for found in suspensions {
                let became = match found.state {
                    SuspensionState::Open | SuspensionState::Answered => Became::Waits,
                    SuspensionState::Resumed => Became::Resumed,
                    SuspensionState::Closed => Became::Closed,
                };
                let answer = found.answer.filter(|_| became == Became::Resumed);
                let row = (found.suspension.question, became, answer.map(|answer| answer.value));
                derived.questions.insert((found.run, found.suspension.id), row);
            }
            for effect in effects {
                let key = (run.id.clone(), effect.id);
                let (ordinal, intent) = (effect.ordinal, effect.intent_sequence);
                let repeatable = effect.idempotent;
                let row = (
                    ordinal,
                    effect.name,
                    effect.idempotency_key,
                    repeatable,
                    intent,
                    effect.outcome,
                );
                derived.effects.insert(key, row);
            }
            let numbers = (run.first_sequence, run.last_sequence);
            let row = (
                run.agent,
                run.stop_reason,
                numbers.0,
                numbers.1,
                run.started_ms,
                run.finished_ms,
            );
            derived.runs.insert(run.id, row);
        }
        derived
    }

    fn take(&mut self, event: &Event) {
        self.take_run(event);
        let sequence = event.sequence;
        match &event.body {
            EventBody::ModelStarted {
                effect, ordinal, model, ..
            } => {
                self.intend(event, effect, (*ordinal, model.clone(), None, true, sequence, None));
            }
            EventBody::ToolStarted {
                effect,
                ordinal,
                name,
                idempotency_key,
                idempotent,
                ..
            } => {
                let key = Some(idempotency_key.clone());
                self.intend(
                    event,
                    effect,
                    (*ordinal, name.clone(), key, *idempotent, sequence, None),
                );
            }
            EventBody::ModelFinished { effect, .. } => self.conclude(event, effect, EffectOutcome::Finished),
            EventBody::ModelDiscarded { effect, .. } => self.conclude(event, effect, EffectOutcome::Discarded),
            EventBody::ToolFinished { effect, outcome, .. } => {
                let outcome = match outcome {
                    ToolOutcome::Output(_) => EffectOutcome::Finished,
                    ToolOutcome::Error(_) => EffectOutcome::Failed,
                };
                self.conclude(event, effect, outcome);
            }
            EventBody::DelegateStarted {
                effect,
                ordinal,
                agent,
                child,
                ..
            } => {
                let key = child.as_ref().map(|child| child.run.to_string());
                self.intend(event, effect, (*ordinal, agent.clone(), key, true, sequence, None));
            }
            EventBody::DelegateFinished { effect, outcome, .. } => {
                let outcome = match outcome {
                    DelegateOutcome::Text(_) => EffectOutcome::Finished,
                    DelegateOutcome::Error(_) => EffectOutcome::Failed,
                };
                self.conclude(event, effect, outcome);
            }
            EventBody::MemoryStarted {
                effect,
                ordinal,
                plugin,
                idempotent,
                ..
            } => {
                let row = (*ordinal, plugin.clone(), None, *idempotent, sequence, None);
                self.intend(event, effect, row);
            }
            EventBody::MemoryFinished { effect, outcome, .. } => {
                let outcome = match outcome {
                    MemoryOutcome::Output(_) => EffectOutcome::Finished,
                    MemoryOutcome::Error(_) => EffectOutcome::Failed,
                };
                self.conclude(event, effect, outcome);
            }
            _ => {}
        }
    }

    /// How runs begin, wait, go on and end.
    fn take_run(&mut self, event: &Event) {
        let (sequence, at_ms) = (event.sequence, event.at_ms);
        match &event.body {
            EventBody::RunStarted { agent, .. } => {
                let row = (agent.clone(), None, sequence, None, at_ms, None);
                self.runs.insert(event.run.clone(), row);
            }
            EventBody::RunFinished(result) => {
                if let Some(run) = self.runs.get_mut(&event.run) {
                    (run.1, run.3, run.5) = (Some(result.stop_reason), Some(sequence), Some(at_ms));
                }
                let questions = self.questions.iter_mut().filter(|((run, _), _)| *run == event.run);
                for (_, question) in questions.filter(|(_, question)| question.1 == Became::Waits) {
                    question.1 = Became::Closed;
                }
            }
            EventBody::Suspended(asked) => {
                let row = (asked.question.clone(), Became::Waits, None);
                self.questions.insert((event.run.clone(), asked.id.clone()), row);
            }
            EventBody::Resumed {
                suspension: Some(id),
                answer,
                ..
            } => {
                if let Some(question) = self.questions.get_mut(&(event.run.clone(), id.clone())) {
                    (question.1, question.2) = (Became::Resumed, answer.clone());
                }
            }
            _ => {}
        }
    }

    /// A further attempt is the same effect.
    fn intend(&mut self, event: &Event, effect: &str, row: Effect) {
        self.effects.insert((event.run.clone(), effect.to_owned()), row);
    }

    fn conclude(&mut self, event: &Event, effect: &str, outcome: EffectOutcome) {
        if let Some(row) = self.effects.get_mut(&(event.run.clone(), effect.to_owned())) {
            row.5 = Some((outcome, event.sequence));
        }
    }
}
