//! What the derived tables must say, told from the events alone.

use std::collections::BTreeMap;

use sandbar_protocol::{Event, EventBody, RunId, StopReason, ToolOutcome};
use sandbar_store::{EffectOutcome, EffectSummary, RunSummary};

/// A run: its agent, how it ended, and the numbers and times of its first and last event.
type Run = (String, Option<StopReason>, u64, Option<u64>, u64, Option<u64>);

/// An effect: ordinal, name, key, whether it may be repeated, its intent and its outcome.
type Effect = (u32, String, Option<String>, bool, u64, Option<(EffectOutcome, u64)>);

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Derived {
    runs: BTreeMap<RunId, Run>,
    effects: BTreeMap<(RunId, String), Effect>,
}

impl Derived {
    pub(crate) fn from_events(events: &[Event]) -> Self {
        let mut derived = Self::default();
        for event in events {
            derived.take(event);
        }
        derived
    }

    /// The runs of a session as the store lists them, with the effects of each.
    pub(crate) fn from_tables(tables: Vec<(RunSummary, Vec<EffectSummary>)>) -> Self {
        let mut derived = Self::default();
        for (run, effects) in tables {
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
            }
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
