//! The events of one run, held against the rules of a run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sandbar::protocol::{
    Answer, ChildRun, Event, EventBody, Mend, RunId, RunResult, StopReason, SuspensionId, SuspensionKind, Usage,
};
use sandbar::store::{Store, SuspensionState};

use super::tools;

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) problems: Vec<String>,
    events: u64,
    result: Option<RunResult>,
    effects: BTreeMap<String, Effect>,
    usage: Usage,
    replies: u32,
    calls_asked: BTreeSet<String>,
    /// What other agents have used for it, calls of tools and models.
    delegated: (u32, u32),
    /// Delegations that were not refused, and the runs that work on them.
    children: BTreeMap<String, ChildRun>,
    /// Effects that are asked about because nobody knows how they ended, by the question.
    in_doubt: BTreeMap<SuspensionId, String>,
    /// Those of which somebody said that they may be repeated, for one attempt.
    allowed: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Effect {
    attempts: u32,
    has_ended: bool,
    /// Where it is a call of a tool.
    call: Option<Call>,
}

#[derive(Debug)]
struct Call {
    id: String,
    tool: String,
    repeatable: bool,
    refused: bool,
}

impl History {
    pub(crate) fn tell(&mut self, event: &Event) {
        self.events += 1;
        let begins = matches!(event.body, EventBody::RunStarted { .. });
        if begins != (self.events == 1) {
            self.complain(format!("event {} of the run is `{}`", self.events, event.body.name()));
        }
        if self.result.is_some() {
            self.complain(format!("`{}` follows the end of the run", event.body.name()));
        }
        match &event.body {
            EventBody::ModelStarted { effect, attempt, .. } => self.begin(effect, *attempt, None),
            EventBody::ToolStarted {
                effect,
                attempt,
                call_id,
                name,
                idempotent,
                refused,
                ..
            } => {
                let call = Call {
                    id: call_id.clone(),
                    tool: tools::short(name).to_owned(),
                    repeatable: *idempotent,
                    refused: *refused,
                };
                self.begin(effect, *attempt, Some(call));
            }
            EventBody::ModelFinished { effect, reply, .. } => {
                self.usage.add(reply.usage);
                self.replies += 1;
                self.calls_asked
                    .extend(reply.message.calls.iter().map(|call| call.id.clone()));
                self.conclude(effect);
            }
            EventBody::DelegateStarted { .. } | EventBody::DelegateFinished { .. } => self.tell_delegation(&event.body),
            EventBody::MemoryStarted { effect, attempt, .. } => self.begin(effect, *attempt, None),
            EventBody::ModelDiscarded { effect, .. }
            | EventBody::ToolFinished { effect, .. }
            | EventBody::MemoryFinished { effect, .. } => self.conclude(effect),
            EventBody::Suspended(suspension) => {
                let repeats = matches!(suspension.kind, SuspensionKind::UnknownOutcome | SuspensionKind::SignIn);
                if let Some(effect) = suspension.effect.as_ref().filter(|_| repeats) {
                    self.in_doubt.insert(suspension.id.clone(), effect.clone());
                }
            }
            EventBody::Resumed {
                suspension: Some(id),
                answer: Some(value),
                by,
            } => {
                let answer = Answer {
                    value: value.clone(),
                    by: by.clone().unwrap_or_default(),
                };
                let again = matches!(answer.decision(), Some(Mend::Retry)) || answer.text("decision") == Some("done");
                if let Some(effect) = self.in_doubt.get(id).filter(|_| again) {
                    self.allowed.insert(effect.clone());
                }
            }
            EventBody::RunFinished(result) => self.result = Some(result.clone()),
            _ => {}
        }
    }

    fn tell_delegation(&mut self, body: &EventBody) {
        match body {
            EventBody::DelegateStarted {
                effect, attempt, child, ..
            } => {
                self.begin(effect, *attempt, None);
                let before = match child {
                    Some(child) => self.children.insert(effect.clone(), child.clone()),
                    None => None,
                };
                if before.is_some() && before.as_ref() != child.as_ref() {
                    self.complain(format!("the delegation `{effect}` has another run than before"));
                }
            }
            EventBody::DelegateFinished {
                effect,
                tool_calls,
                model_calls,
                usage,
                ..
            } => {
                self.delegated.0 += tool_calls;
                self.delegated.1 += model_calls;
                self.usage.add(*usage);
                self.conclude(effect);
            }
            _ => {}
        }
    }

    fn begin(&mut self, id: &str, attempt: u32, call: Option<Call>) {
        let allowed = self.allowed.remove(id);
        let effect = self.effects.entry(id.to_owned()).or_default();
        effect.attempts += 1;
        let mut problem = None;
        if effect.has_ended {
            problem = Some("was begun after it had ended".to_owned());
        } else if effect.attempts != attempt {
            problem = Some(format!("has {attempt} as its attempt {}", effect.attempts));
        } else if attempt > 1 && !allowed && call.as_ref().is_some_and(|call| !call.repeatable) {
            problem = Some("may not be repeated, and was without anybody's word".to_owned());
        }
        effect.call = call;
        if let Some(problem) = problem {
            self.complain(format!("the effect `{id}` {problem}"));
        }
    }

    fn conclude(&mut self, id: &str) {
        let effect = self.effects.entry(id.to_owned()).or_default();
        let (begun, ended) = (effect.attempts > 0, effect.has_ended);
        effect.has_ended = true;
        if !begun {
            self.complain(format!("the effect `{id}` ended without an intent"));
        }
        if ended {
            self.complain(format!("the effect `{id}` ended twice"));
        }
    }

    /// There is no more for now; `done` where there never will be.
    pub(crate) fn end(&mut self, store: &Store, run: &RunId, done: bool) -> Result<()> {
        if let Some(result) = self.result.clone() {
            self.check_result(&result);
        } else if done {
            self.complain(format!("the run `{run}` has not ended"));
        }
        let rows = store.effects(run)?;
        if rows.len() != self.effects.len() {
            self.complain(format!(
                "the table has {} effects, the events {}",
                rows.len(),
                self.effects.len()
            ));
        }
        for row in rows {
            let ended = self.effects.get(&row.id).is_some_and(|effect| effect.has_ended);
            if ended != row.outcome.is_some() {
                self.complain(format!(
                    "the table and the events disagree on the end of the effect `{}`",
                    row.id
                ));
            }
        }
        for found in store.suspensions(run)? {
            let waits = matches!(found.state, SuspensionState::Open | SuspensionState::Answered);
            if waits && self.has_ended() {
                self.complain(format!("`{}` still waits, and its run has ended", found.suspension.id));
            }
        }
        Ok(())
    }

    fn check_result(&mut self, result: &RunResult) {
        let open: Vec<&String> = self
            .effects
            .iter()
            .filter(|(_, effect)| !effect.has_ended)
            .map(|(id, _)| id)
            .collect();
        if !open.is_empty() {
            self.complain(format!("the run has ended and these effects have not: {open:?}"));
        }
        if result.usage != self.usage || result.model_calls != self.replies + self.delegated.1 {
            self.complain(format!(
                "the run says that it used {:?} in {} calls, its events say {:?} in {}",
                result.usage,
                result.model_calls,
                self.usage,
                self.replies + self.delegated.1
            ));
        }
        let calls: Vec<&Call> = self
            .effects
            .values()
            .filter_map(|effect| effect.call.as_ref())
            .collect();
        let own = calls.iter().filter(|call| !call.refused).count() + self.children.len();
        let made = own + self.delegated.0 as usize;
        if result.tool_calls as usize != made {
            self.complain(format!(
                "the run says that it made {} tool calls, its events {made}",
                result.tool_calls
            ));
        }
        let calls = self.effects.values().filter_map(|effect| effect.call.as_ref());
        let made: BTreeSet<&String> = calls.map(|call| &call.id).collect();
        let missing: Vec<String> = self
            .calls_asked
            .iter()
            .filter(|id| !made.contains(id))
            .cloned()
            .collect();
        if !missing.is_empty() && result.stop_reason == StopReason::Finished {
            self.complain(format!("the model asked for calls that nobody made: {missing:?}"));
        }
    }

    /// The runs that worked on delegations that have ended.
    pub(crate) fn ended_children(&self) -> impl Iterator<Item = &ChildRun> {
        let ended = |effect: &String| self.effects.get(effect).is_some_and(|effect| effect.has_ended);
        let children = self.children.iter().filter(move |(effect, _)| ended(effect));
        children.map(|(_, child)| child)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.result.is_some()
    }

    /// What was about to happen in the world: tools, and the keys of their calls.
    pub(crate) fn intents(&self, session: &str, run: &RunId) -> Vec<(String, String)> {
        let calls = self.effects.values().filter_map(|effect| effect.call.as_ref());
        let calls = calls.filter(|call| !call.refused);
        calls
            .map(|call| (call.tool.clone(), tools::key(session, run.as_str(), &call.id)))
            .collect()
    }

    fn complain(&mut self, problem: String) {
        self.problems.push(problem);
    }
}
