//! What a dead process has left, held against what was acknowledged, and against what the world has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use sandbar::agent::seen_by_models;
use sandbar::protocol::{Event, EventBody, Message, Role, RunId, SessionId, StopReason, ToolOutcome};
use sandbar::store::{AuditHash, Store, StoreOptions};
use serde_json::{Value, json};

use super::child::digest;
use super::history::History;
use super::kept::Kept;
use super::life::Acknowledged;
use super::server::Counts;
use super::tools;
use super::world::{SCENES, World};

/// Events read at a time.
const PAGE: usize = 512;

/// What is wrong, and what there is.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) problems: Vec<String>,
    /// Calls that may not be repeated and were, each time.
    pub(crate) double_calls: u64,
    /// Runs that have begun and not ended.
    pub(crate) unfinished: u64,
    /// What the models of each session were sent, and what came of its runs; without what differs from trial to trial.
    pub(crate) transcripts: BTreeMap<&'static str, Value>,
    /// The hash of the last entry of the audit.
    pub(crate) audited: Option<AuditHash>,
    kept: Kept,
}

/// What is held against the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Witness<'a> {
    pub(crate) acknowledged: &'a [Acknowledged],
    pub(crate) counts: &'a Counts,
    /// What the audit ended with after the death before.
    pub(crate) audited: Option<AuditHash>,
    /// Everything must have ended by now.
    pub(crate) done: bool,
}

pub(crate) fn look(world: &World, witness: Witness<'_>) -> Result<Left> {
    let copy = world.copy_of_journal()?;
    let mut left = Left::default();
    match Store::open(copy.path(), StoreOptions::default()) {
        Ok(store) => {
            let mut intents = BTreeSet::new();
            for scene in &SCENES {
                let runs = scene.requests.len();
                let transcript = left.session(&store, scene.session, runs, witness, &mut intents)?;
                left.transcripts.insert(scene.session, transcript);
            }
            for session in store.sessions(usize::MAX, None)? {
                if session.delegated_by.is_some() {
                    left.session(&store, session.id.as_str(), 1, witness, &mut intents)?;
                }
            }
            left.world(witness.counts, &intents);
            left.audited = left.kept.check(&store, witness.audited)?;
            left.problems.append(&mut left.kept.problems);
        }
        Err(error) => left.problems.push(format!("the journal does not open: {error}")),
    }
    Ok(left)
}

impl Left {
    fn session(
        &mut self,
        store: &Store,
        name: &str,
        wanted: usize,
        witness: Witness<'_>,
        intents: &mut BTreeSet<(String, String)>,
    ) -> Result<Value> {
        let id = SessionId::parse(name)?;
        let events = match store.session(&id)? {
            Some(_) => self.events(store, &id),
            None => Vec::new(),
        };
        events.iter().for_each(|event| self.kept.tell(event));
        for wanted in witness.acknowledged.iter().filter(|event| event.session == name) {
            let found = events.iter().find(|event| event.sequence == wanted.sequence);
            match found.map(digest).transpose()? {
                Some(digest) if digest == wanted.digest => {}
                Some(_) => self.complain(name, &format!("event {} is not the acknowledged one", wanted.sequence)),
                None => self.complain(name, &format!("event {} was acknowledged and is gone", wanted.sequence)),
            }
        }
        let runs = store.runs(&id)?;
        for run in &runs {
            let mut history = History::default();
            events
                .iter()
                .filter(|event| event.run == run.id)
                .for_each(|event| history.tell(event));
            history.end(store, &run.id, witness.done)?;
            self.unfinished += u64::from(!history.has_ended());
            history.problems.iter().for_each(|problem| self.complain(name, problem));
            for child in history.ended_children() {
                if store.run(&child.run).is_ok_and(|run| run.stop_reason.is_none()) {
                    self.complain(
                        name,
                        &format!("a delegation has ended, and its run `{}` has not", child.run),
                    );
                }
            }
            intents.extend(history.intents(name, &run.id));
            self.results(name, &run.id, &events, witness.counts);
        }
        if witness.done && wanted != runs.len() {
            self.complain(name, &format!("it has {} runs at the end", runs.len()));
        }
        let transcript = runs.iter().map(|run| transcript(&events, &run.id));
        let transcript: Vec<Value> = transcript.collect();
        Ok(transcript.into())
    }

    /// Up to the damage, if there is some.
    fn events(&mut self, store: &Store, session: &SessionId) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            match store.events(session, events.len() as u64, PAGE) {
                Ok(page) if page.is_empty() => break,
                Ok(page) => events.extend(page),
                Err(error) => {
                    self.complain(session.as_str(), &error.to_string());
                    break;
                }
            }
        }
        let gap = events.iter().zip(1..).find(|(event, wanted)| event.sequence != *wanted);
        if let Some((event, wanted)) = gap {
            self.complain(
                session.as_str(),
                &format!("event {} is where {wanted} should be", event.sequence),
            );
        }
        events
    }

    /// What is said to have happened has, and every list of messages is one that a provider accepts.
    fn results(&mut self, session: &str, run: &RunId, events: &[Event], counts: &Counts) {
        for event in events.iter().filter(|event| event.run == *run) {
            if let EventBody::ToolFinished {
                call_id,
                name,
                outcome: ToolOutcome::Output(_),
                ..
            } = &event.body
                && tools::is_counted(name)
            {
                let key = (
                    tools::short(name).to_owned(),
                    tools::key(session, run.as_str(), call_id),
                );
                if !counts.contains_key(&key) {
                    self.complain(session, &format!("`{call_id}` is said to have happened, and has not"));
                }
            }
        }
        for (effect, messages) in seen_by_models(events, run) {
            if let Some(problem) = unacceptable(&messages) {
                self.complain(session, &format!("the model call `{effect}` was sent {problem}"));
            }
        }
    }

    /// What may not be repeated was done once at most, and not before the journal knew.
    fn world(&mut self, counts: &Counts, intents: &BTreeSet<(String, String)>) {
        for ((tool, key), count) in counts {
            if tools::is_repeatable(tool) {
                continue;
            }
            if *count > 1 {
                self.double_calls += count - 1;
                self.problems.push(format!("`{tool}` happened {count} times for {key}"));
            }
            if !intents.contains(&(tool.clone(), key.clone())) {
                self.problems
                    .push(format!("`{tool}` happened for {key}, and the journal has no intent"));
            }
        }
    }

    fn complain(&mut self, session: &str, problem: &str) {
        self.problems.push(format!("session `{session}`: {problem}"));
    }
}

/// Each call has its result right behind it, in the order of the calls, and nothing else is a result.
fn unacceptable(messages: &[Arc<Message>]) -> Option<String> {
    let mut wanted: Vec<&str> = Vec::new();
    for message in messages {
        match (message.role == Role::Tool, wanted.first()) {
            (true, Some(call)) if message.call_id.as_deref() == Some(*call) => {
                wanted.remove(0);
            }
            (true, _) => return Some(format!("a result of {:?}, which is not due", message.call_id)),
            (false, Some(call)) => return Some(format!("no result of `{call}`")),
            (false, None) => wanted = message.calls.iter().map(|call| call.id.as_str()).collect(),
        }
        if message.text == "this call was not carried out" {
            return Some(format!("a result of {:?} that nobody recorded", message.call_id));
        }
    }
    wanted.first().map(|call| format!("no result of `{call}`"))
}

fn transcript(events: &[Event], run: &RunId) -> Value {
    let mut seen: Vec<(u32, Vec<Arc<Message>>)> = seen_by_models(events, run)
        .into_iter()
        .map(|(effect, messages)| {
            let ordinal = effect.rsplit('.').next().and_then(|ordinal| ordinal.parse().ok());
            (ordinal.unwrap_or(0), messages)
        })
        .collect();
    seen.sort_by_key(|(ordinal, _)| *ordinal);
    let result = events.iter().find_map(|event| match &event.body {
        EventBody::RunFinished(result) if event.run == *run => Some(result),
        _ => None,
    });
    json!({
        "models": seen,
        "text": result.map(|result| &result.text),
        "finished": result.map(|result| result.stop_reason == StopReason::Finished),
        "spent": result.map(|result| (result.steps, result.tool_calls, result.model_calls, result.usage)),
    })
}
