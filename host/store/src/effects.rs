//! The table of effects, derived from their intents and outcomes: what recovery asks first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, Row, params};
use sandbar_protocol::{DelegateOutcome, Event, EventBody, MemoryOutcome, Result, RunId, ToolOutcome, kill_point};

use crate::columns;
use crate::error::Doing as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectKind {
    Model,
    Tool,
    Memory,
    /// Its idempotency key is the id of the other agent's run.
    Delegate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectOutcome {
    Finished,
    /// An error of a tool or of another agent, which the run was told, or of a memory.
    Failed,
    /// A model call's attempt that gave no answer; another may follow.
    Discarded,
}

/// An effect without its arguments and results, which are in its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectSummary {
    pub id: String,
    /// The effect that asked for it; none for the run itself.
    pub parent: Option<String>,
    pub ordinal: u32,
    pub kind: EffectKind,
    /// The model, the tool, the other agent or the memory.
    pub name: String,
    pub idempotency_key: Option<String>,
    pub argument_digest: Option<String>,
    /// Whether recovery may repeat it.
    pub idempotent: bool,
    pub intent_sequence: u64,
    /// None while it is not known how it ended.
    pub outcome: Option<(EffectOutcome, u64)>,
}

/// What the events of one transaction say of effects, gathered so that one that begins and ends in it is written once.
#[derive(Debug, Default)]
pub(crate) struct EffectRows<'a> {
    rows: Vec<Intent<'a>>,
    /// Where in `rows` an effect is, by run and id.
    places: HashMap<(&'a str, &'a str), usize>,
}

#[derive(Debug)]
struct Intent<'a> {
    event: &'a Event,
    id: &'a str,
    parent: Option<&'a str>,
    ordinal: u32,
    kind: EffectKind,
    name: &'a str,
    idempotency_key: Option<&'a str>,
    argument_digest: Option<&'a str>,
    idempotent: bool,
    outcome: Option<(EffectOutcome, u64)>,
}

impl<'a> EffectRows<'a> {
    /// Keeps what an event says of an effect, or writes it where the effect began in an earlier transaction.
    pub(crate) fn derive(&mut self, connection: &Connection, event: &'a Event) -> Result<()> {
        if let Some(intent) = intent(event) {
            self.intend(intent);
        } else if let Some((effect, outcome)) = conclusion(event) {
            match self.places.get(&(event.run.as_str(), effect)) {
                Some(place) => self.rows[*place].conclude(outcome, event.sequence),
                None => conclude(connection, event, effect, outcome)?,
            }
        }
        Ok(())
    }

    /// Writes what was kept.
    pub(crate) fn write(&mut self, connection: &Connection) -> Result<()> {
        self.places.clear();
        self.rows.drain(..).try_for_each(|intent| write(connection, &intent))
    }

    fn intend(&mut self, intent: Intent<'a>) {
        match self.places.entry((intent.event.run.as_str(), intent.id)) {
            Entry::Vacant(place) => {
                place.insert(self.rows.len());
                self.rows.push(intent);
            }
            // The same rule as in the statement that writes it.
            Entry::Occupied(place) => {
                let row = &mut self.rows[*place.get()];
                if row.may_change() {
                    (row.event, row.outcome) = (intent.event, None);
                }
            }
        }
    }
}

impl Intent<'_> {
    /// An answer that was recorded stays.
    fn may_change(&self) -> bool {
        matches!(self.outcome, None | Some((EffectOutcome::Discarded, _)))
    }

    fn conclude(&mut self, outcome: EffectOutcome, sequence: u64) {
        if self.may_change() {
            self.outcome = Some((outcome, sequence));
        }
    }
}

fn intent(event: &Event) -> Option<Intent<'_>> {
    match &event.body {
        EventBody::ModelStarted {
            effect, ordinal, model, ..
        } => {
            Some(Intent {
                event,
                id: effect,
                parent: None,
                ordinal: *ordinal,
                kind: EffectKind::Model,
                name: model,
                idempotency_key: None,
                argument_digest: None,
                // A model call may be issued again: the first recorded answer wins.
                idempotent: true,
                outcome: None,
            })
        }
        EventBody::ToolStarted {
            effect,
            parent,
            ordinal,
            name,
            argument_digest,
            idempotency_key,
            idempotent,
            ..
        } => Some(Intent {
            event,
            id: effect,
            parent: parent.as_deref(),
            ordinal: *ordinal,
            kind: EffectKind::Tool,
            name,
            idempotency_key: Some(idempotency_key),
            argument_digest: Some(argument_digest),
            idempotent: *idempotent,
            outcome: None,
        }),
        EventBody::DelegateStarted {
            effect,
            ordinal,
            agent,
            child,
            ..
        } => Some(Intent {
            event,
            id: effect,
            parent: None,
            ordinal: *ordinal,
            kind: EffectKind::Delegate,
            name: agent,
            idempotency_key: child.as_ref().map(|child| child.run.as_str()),
            argument_digest: None,
            // Whoever repeats it finds the run of the other agent.
            idempotent: true,
            outcome: None,
        }),
        EventBody::MemoryStarted {
            effect,
            ordinal,
            plugin,
            input_digest,
            idempotent,
            ..
        } => Some(Intent {
            event,
            id: effect,
            parent: None,
            ordinal: *ordinal,
            kind: EffectKind::Memory,
            name: plugin,
            idempotency_key: None,
            argument_digest: Some(input_digest),
            idempotent: *idempotent,
            outcome: None,
        }),
        _ => None,
    }
}

fn conclusion(event: &Event) -> Option<(&str, EffectOutcome)> {
    match &event.body {
        EventBody::ModelFinished { effect, .. } => Some((effect, EffectOutcome::Finished)),
        EventBody::ModelDiscarded { effect, .. } => Some((effect, EffectOutcome::Discarded)),
        EventBody::ToolFinished { effect, outcome, .. } => {
            let outcome = match outcome {
                ToolOutcome::Output(_) => EffectOutcome::Finished,
                ToolOutcome::Error(_) => EffectOutcome::Failed,
            };
            Some((effect, outcome))
        }
        EventBody::DelegateFinished { effect, outcome, .. } => {
            let outcome = match outcome {
                DelegateOutcome::Text(_) => EffectOutcome::Finished,
                DelegateOutcome::Error(_) => EffectOutcome::Failed,
            };
            Some((effect, outcome))
        }
        EventBody::MemoryFinished { effect, outcome, .. } => {
            let outcome = match outcome {
                MemoryOutcome::Output(_) => EffectOutcome::Finished,
                MemoryOutcome::Error(_) => EffectOutcome::Failed,
            };
            Some((effect, outcome))
        }
        _ => None,
    }
}

/// In the order of their intents.
pub(crate) fn of_run(connection: &Connection, run: &RunId) -> Result<Vec<EffectSummary>> {
    connection
        .prepare_cached(
            "SELECT id, parent, ordinal, kind, name, idempotency_key, argument_digest, idempotent, intent_sequence,
            outcome, outcome_sequence FROM effects WHERE run = ? ORDER BY intent_sequence",
        )
        .and_then(|mut statement| statement.query_map([run.as_str()], summary)?.collect())
        .doing("list the effects of a run")
}

fn write(connection: &Connection, intent: &Intent<'_>) -> Result<()> {
    let event = intent.event;
    // A further attempt moves the intent, but never voids an answer that was recorded.
    connection
        .prepare_cached(
            "INSERT INTO effects (run, id, session, parent, ordinal, kind, name, idempotency_key, argument_digest,
            idempotent, intent_sequence, outcome, outcome_sequence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (run, id) DO UPDATE SET intent_sequence = excluded.intent_sequence, outcome = excluded.outcome,
            outcome_sequence = excluded.outcome_sequence WHERE outcome IS NULL OR outcome = 'discarded'",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                event.run.as_str(),
                intent.id,
                event.session.as_str(),
                intent.parent,
                intent.ordinal,
                intent.kind.as_str(),
                intent.name,
                intent.idempotency_key,
                intent.argument_digest,
                intent.idempotent,
                event.sequence as i64,
                intent.outcome.map(|(outcome, _)| outcome.as_str()),
                intent.outcome.map(|(_, sequence)| sequence as i64),
            ])
        })
        .doing("record an effect")?;
    kill_point("store.effect.written");
    Ok(())
}

fn conclude(connection: &Connection, event: &Event, effect: &str, outcome: EffectOutcome) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE effects SET outcome = ?, outcome_sequence = ? WHERE run = ? AND id = ?
            AND (outcome IS NULL OR outcome = 'discarded')",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                outcome.as_str(),
                event.sequence as i64,
                event.run.as_str(),
                effect
            ])
        })
        .doing("record an effect's outcome")?;
    kill_point("store.effect.concluded");
    Ok(())
}

fn summary(row: &Row<'_>) -> rusqlite::Result<EffectSummary> {
    let outcome: Option<String> = row.get(9)?;
    let outcome_sequence = columns::optional_number(row, 10)?;
    Ok(EffectSummary {
        id: row.get(0)?,
        parent: row.get(1)?,
        ordinal: row.get(2)?,
        kind: match row.get::<_, String>(3)?.as_str() {
            "model" => EffectKind::Model,
            "memory" => EffectKind::Memory,
            "delegate" => EffectKind::Delegate,
            _ => EffectKind::Tool,
        },
        name: row.get(4)?,
        idempotency_key: row.get(5)?,
        argument_digest: row.get(6)?,
        idempotent: row.get(7)?,
        intent_sequence: columns::number(row, 8)?,
        outcome: outcome.as_deref().and_then(EffectOutcome::parse).zip(outcome_sequence),
    })
}

impl EffectKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Memory => "memory",
            Self::Delegate => "delegate",
        }
    }
}

impl EffectOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Finished, Self::Failed, Self::Discarded]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
    }
}
