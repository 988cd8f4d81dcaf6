//! What the journal already says of a run, so that the loop can go over it again: to continue it, or to replay it.
//!
//! There is one loop. Where the tape has a decision the pattern is not asked, where it has an outcome nothing is called; behind the end
//! of the tape the run is live. A run that begins has an empty tape.

use std::collections::{BTreeMap, HashMap, VecDeque};

use sandbar_protocol::{
    Action, Answer, DelegateOutcome, Error, Event, EventBody, MemoryOutcome, ModelReply, ParentRun, RunSetup,
    Suspension, SuspensionId, SuspensionKind, ToolOutcome, Usage, WorkspaceId,
};

use crate::effects::{DelegateEffect, Effect, ToolEffect, begun};

/// A run's events so far, by what they are needed for.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    start: Option<Start>,
    decisions: HashMap<u32, Recorded>,
    effects: HashMap<String, PastEffect>,
    suspensions: HashMap<SuspensionId, PastSuspension>,
    /// Events that are no effect, in their order: they are not written a second time.
    notes: VecDeque<EventBody>,
    spent_ms: u64,
    last_ms: u64,
    finished: bool,
}

/// How the run began.
#[derive(Debug, Clone)]
pub struct Start {
    pub agent: String,
    pub message: String,
    pub workspace: Option<WorkspaceId>,
    pub parent: Option<ParentRun>,
    pub setup: RunSetup,
}

#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) actions: Vec<Action>,
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) ms_left: u64,
}

/// An effect with an intent.
#[derive(Debug, Clone)]
pub(crate) struct PastEffect {
    pub(crate) attempts: u32,
    /// Whether it may be repeated where nobody knows how it ended.
    pub(crate) repeatable: bool,
    pub(crate) refused: bool,
    pub(crate) what: Effect,
    pub(crate) outcome: Option<PastOutcome>,
}

#[derive(Debug, Clone)]
pub(crate) enum PastOutcome {
    Replied(ModelReply),
    NoReply(Error),
    Tool(ToolOutcome),
    Delegated(Box<DelegateEnd>),
    Remembered(MemoryOutcome),
}

/// How a delegation ended, and what the other agent has used for it.
#[derive(Debug, Clone)]
pub(crate) struct DelegateEnd {
    pub(crate) outcome: DelegateOutcome,
    pub(crate) tool_calls: u32,
    pub(crate) model_calls: u32,
    pub(crate) usage: Usage,
    pub(crate) ms: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct PastSuspension {
    pub(crate) suspension: Suspension,
    /// What the run went on with.
    pub(crate) answer: Option<Answer>,
}

/// What a run has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) steps: u32,
    pub(crate) tool_calls: u32,
    pub(crate) model_calls: u32,
    pub(crate) usage: Usage,
}

impl Used {
    pub(crate) fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.tool_calls += other.tool_calls;
        self.model_calls += other.model_calls;
        self.usage.add(other.usage);
    }
}

impl Tape {
    /// From the journal, in order; events of other runs are passed over by the caller.
    pub fn apply(&mut self, event: &Event) {
        // Nobody worked on it before it was resumed, and while another agent did, that one's time counts.
        let waited = self.last_ms == 0
            || matches!(
                event.body,
                EventBody::Resumed { .. } | EventBody::DelegateFinished { .. }
            );
        if !waited {
            self.spent_ms += event.at_ms.saturating_sub(self.last_ms);
        }
        self.last_ms = event.at_ms;
        match &event.body {
            EventBody::RunStarted {
                agent,
                message,
                workspace,
                parent,
                setup,
            } => {
                self.start = Some(Start {
                    agent: agent.clone(),
                    message: message.clone(),
                    workspace: workspace.clone(),
                    parent: parent.clone(),
                    setup: setup.clone(),
                });
            }
            EventBody::StepDecided {
                step,
                ms_left,
                actions,
                state,
            } => {
                let recorded = Recorded {
                    actions: actions.clone(),
                    state: state.clone(),
                    ms_left: *ms_left,
                };
                self.decisions.insert(*step, recorded);
            }
            EventBody::ModelStarted { .. }
            | EventBody::ModelFinished { .. }
            | EventBody::ModelDiscarded { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::ToolFinished { .. }
            | EventBody::DelegateStarted { .. }
            | EventBody::DelegateFinished { .. } => self.apply_effect(&event.body),
            EventBody::MemoryStarted {
                effect,
                attempt,
                op,
                input_head,
                idempotent,
                ..
            } => {
                let what = Effect::Memory(begun(*op, input_head));
                self.intend(effect, *attempt, *idempotent, false, what);
            }
            EventBody::MemoryFinished { effect, outcome, .. } => {
                self.conclude(effect, PastOutcome::Remembered(outcome.clone()));
            }
            EventBody::Suspended(_) | EventBody::Resumed { .. } => self.apply_question(&event.body),
            EventBody::Artifact(_)
            | EventBody::ReplyDiscarded { .. }
            | EventBody::ValidationRetry { .. }
            | EventBody::Unsupported { .. }
            | EventBody::Custom { .. } => self.notes.push_back(event.body.clone()),
            EventBody::RunFinished(_) => self.finished = true,
            EventBody::ModelRetried { .. } | EventBody::Unknown(_) => {}
        }
    }

    fn apply_question(&mut self, body: &EventBody) {
        match body {
            EventBody::Suspended(suspension) => {
                let past = PastSuspension {
                    suspension: (**suspension).clone(),
                    answer: None,
                };
                self.suspensions.insert(suspension.id.clone(), past);
            }
            EventBody::Resumed {
                suspension: Some(id),
                answer: Some(value),
                by,
            } => {
                if let Some(past) = self.suspensions.get_mut(id) {
                    past.answer = Some(Answer {
                        value: value.clone(),
                        by: by.clone().unwrap_or_default(),
                    });
                }
            }
            _ => {}
        }
    }

    fn apply_effect(&mut self, body: &EventBody) {
        match body {
            EventBody::ModelStarted {
                effect,
                attempt,
                thread,
                ..
            } => {
                let what = Effect::Model(sandbar_protocol::ModelAction::on_thread(thread));
                self.intend(effect, *attempt, true, false, what);
            }
            EventBody::ToolStarted {
                effect,
                attempt,
                call_id,
                thread,
                name,
                arguments,
                idempotent,
                refused,
                ..
            } => {
                let what = Effect::Tool(ToolEffect {
                    call_id: call_id.clone(),
                    name: name.clone(),
                    arguments: arguments.clone(),
                    thread: thread.clone(),
                    // Its pattern is asked for it again where that matters.
                    own: false,
                });
                self.intend(effect, *attempt, *idempotent, *refused, what);
            }
            EventBody::ModelFinished { effect, reply, .. } => {
                self.conclude(effect, PastOutcome::Replied(reply.clone()));
            }
            EventBody::ModelDiscarded { effect, error, .. } => {
                self.conclude(effect, PastOutcome::NoReply(error.clone()));
            }
            EventBody::ToolFinished { effect, outcome, .. } => {
                self.conclude(effect, PastOutcome::Tool(outcome.clone()));
            }
            other => self.apply_delegation(other),
        }
    }

    fn apply_delegation(&mut self, body: &EventBody) {
        match body {
            EventBody::DelegateStarted {
                effect,
                attempt,
                agent,
                task,
                child,
                ..
            } => {
                let what = Effect::Delegate(DelegateEffect {
                    agent: agent.clone(),
                    task: task.clone(),
                    child: child.clone(),
                });
                self.intend(effect, *attempt, true, child.is_none(), what);
            }
            EventBody::DelegateFinished {
                effect,
                outcome,
                tool_calls,
                model_calls,
                usage,
                ms,
                ..
            } => {
                self.spent_ms += ms;
                let end = DelegateEnd {
                    outcome: outcome.clone(),
                    tool_calls: *tool_calls,
                    model_calls: *model_calls,
                    usage: *usage,
                    ms: *ms,
                };
                self.conclude(effect, PastOutcome::Delegated(Box::new(end)));
            }
            _ => {}
        }
    }

    fn intend(&mut self, effect: &str, attempt: u32, repeatable: bool, refused: bool, what: Effect) {
        let past = PastEffect {
            attempts: attempt,
            repeatable,
            refused,
            what,
            outcome: None,
        };
        self.effects.insert(effect.to_owned(), past);
    }

    /// The first answer wins.
    fn conclude(&mut self, effect: &str, outcome: PastOutcome) {
        if let Some(past) = self.effects.get_mut(effect) {
            past.outcome.get_or_insert(outcome);
        }
    }

    pub fn start(&self) -> Option<&Start> {
        self.start.as_ref()
    }

    /// Whether the run has ended.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Wall time in which somebody worked on it.
    pub(crate) fn spent_ms(&self) -> u64 {
        self.spent_ms
    }

    /// What the run has used, as far as the tape goes.
    pub(crate) fn used(&self) -> Used {
        let mut used = Used {
            steps: self.decisions.keys().copied().max().unwrap_or(0),
            ..Used::default()
        };
        for past in self.effects.values() {
            if let Some(PastOutcome::Delegated(end)) = &past.outcome {
                used.tool_calls += end.tool_calls;
                used.model_calls += end.model_calls;
                used.usage.add(end.usage);
            }
            match (&past.what, &past.outcome) {
                (_, Some(PastOutcome::Replied(reply))) => {
                    used.model_calls += 1;
                    used.usage.add(reply.usage);
                }
                // A call counts from its intent on.
                (Effect::Tool(_) | Effect::Delegate(_), _) if !past.refused => used.tool_calls += 1,
                _ => {}
            }
        }
        used
    }

    pub(crate) fn decision(&self, step: u32) -> Option<&Recorded> {
        self.decisions.get(&step)
    }

    pub(crate) fn effect(&self, id: &str) -> Option<&PastEffect> {
        self.effects.get(id)
    }

    pub(crate) fn suspension(&self, id: &SuspensionId) -> Option<&PastSuspension> {
        self.suspensions.get(id)
    }

    /// What was asked about an effect and has no answer.
    pub(crate) fn open_questions(&self, effect: &str) -> Vec<SuspensionId> {
        let open = self.suspensions.values().filter(|past| past.answer.is_none());
        open.filter(|past| past.suspension.effect.as_deref() == Some(effect))
            .map(|past| past.suspension.id.clone())
            .collect()
    }

    /// Whether a person was asked to let the run go on.
    pub(crate) fn was_extended(&self) -> bool {
        let mut all = self.suspensions.values();
        all.any(|past| past.suspension.kind == SuspensionKind::Budget)
    }

    /// Effects with an intent and no outcome.
    pub(crate) fn open_effects(&self) -> BTreeMap<String, Effect> {
        let open = self.effects.iter().filter(|(_, past)| past.outcome.is_none());
        open.map(|(id, past)| (id.clone(), past.what.clone())).collect()
    }

    pub(crate) fn take_notes(&mut self) -> VecDeque<EventBody> {
        std::mem::take(&mut self.notes)
    }
}
