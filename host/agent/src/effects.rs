//! The one place where a model, a tool or a person is called: policy ▸ budget ▸ intent ▸ execute ▸ outcome.
//!
//! `dispatch` is the order of things; `effects/model.rs`, `effects/tool.rs` and `effects/question.rs` are its steps for each kind. What the
//! tape knows is not done again: an effect with an outcome gives that outcome, one without is mended or repeated.

mod authority;
mod decisions;
mod delegation;
mod denials;
mod memory;
mod model;
mod policy;
mod question;
mod tool;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandbar_protocol::policy::Origin;
use sandbar_protocol::{
    Answer, AskAction, Clock, DecidedBy, Error, ErrorKind, Event, EventBody, MemoryOperation, MemoryOutcome, Model,
    ModelAction, ModelReply, Result, RunId, SessionId, Tool, ToolOutcome, WorkspaceId, kill_point,
};
use sandbar_store::SessionWriter;
use serde_json::Value;

use crate::consent::{Attended, ConsentRules};
use crate::conversation::Conversation;
use crate::inbox::Inbox;
use crate::locks::ResourceLocks;
use crate::memory::RunMemory;
use crate::spending::Spending;
use crate::tape::{PastOutcome, Tape, Used};
use decisions::Decisions;
use delegation::LiveChild;
use denials::Denials;

pub(crate) use delegation::{DelegateEffect, Delegating};
pub(crate) use memory::begun;
pub(crate) use policy::{ARGUMENTS_DENIED, DENIED_BY_RULE};
pub(crate) use question::{Asked, check_schema};

/// What a run wants done.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Model(ModelAction),
    Tool(ToolEffect),
    Question(AskAction),
    Delegate(DelegateEffect),
    Memory(MemoryOperation),
}

#[derive(Debug, Clone)]
pub(crate) struct ToolEffect {
    pub(crate) call_id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) thread: String,
    /// Whether the pattern wants it on its own, and no model has asked for it.
    pub(crate) own: bool,
}

/// What came of it; in the journal already.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Replied {
        id: String,
        reply: Box<ModelReply>,
    },
    ModelFailed(Box<Error>),
    ToolEnded {
        call_id: String,
        name: String,
        text: Arc<str>,
        failed: bool,
    },
    Answered {
        id: String,
        answer: Answer,
    },
    Delegated {
        id: String,
        text: Arc<str>,
        failed: bool,
    },
    /// A memory was asked; what came of it is no reason to do anything else.
    Remembered,
    /// It waits for an answer that nobody here can give: the run leaves when what runs beside it has ended.
    Waits,
    /// It waited for an answer that did not come in time.
    Expired(Box<Error>),
}

/// What the effects of one run share.
pub(crate) struct Effects {
    /// None in a replay: nothing may happen then, and behind the end of the tape nothing does.
    pub(crate) writer: Option<Arc<SessionWriter>>,
    pub(crate) session: SessionId,
    pub(crate) run: RunId,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) instructions: String,
    /// In the order of the configuration, which is the order in which the model sees them.
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    /// Who wants the run.
    pub(crate) origin: Origin,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) locks: ResourceLocks,
    pub(crate) spending: Spending,
    pub(crate) delegating: Delegating,
    pub(crate) memory: Option<RunMemory>,
    pub(crate) attended: Attended,
    pub(crate) consent: Arc<ConsentRules>,
    pub(crate) inbox: Inbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tape: Tape,
    /// Held while an event is appended, so that the fold has the journal's order.
    pub(crate) conversation: tokio::sync::Mutex<Conversation>,
    pub(crate) state: State,
}

/// What changes while a run goes on.
#[derive(Default)]
pub(crate) struct State {
    /// Texts that the pattern may read, by id.
    pub(crate) texts: Arc<Mutex<HashMap<String, Arc<str>>>>,
    ordinal: AtomicU32,
    /// How often each tool was called.
    calls: Mutex<HashMap<String, u32>>,
    /// Effects with an intent and no outcome yet.
    open: Mutex<Vec<(String, Open)>>,
    /// Delegated runs that go on here, by their effects.
    children: Mutex<HashMap<String, LiveChild>>,
    /// What the model is told of what was recalled.
    recalled: Mutex<Option<String>>,
    /// Who decided on the calls that have not begun.
    decisions: Decisions,
    /// What plugins were refused in the calls that go on.
    denials: Denials,
    /// The text of a reply that is being written.
    partial: Mutex<String>,
    /// Events of the tape that are no effects and have not been passed.
    notes: Mutex<VecDeque<EventBody>>,
    /// The journal has a part of the run, and nothing yet of its being continued.
    was_left: AtomicBool,
}

struct Open {
    effect: Effect,
    started: Instant,
}

/// A tool call that may run.
struct Admitted {
    tool: Arc<dyn Tool>,
    input: Arc<Value>,
}

impl State {
    /// What a tape leaves to be done.
    pub(crate) fn of(tape: &mut Tape) -> Self {
        let started = Instant::now();
        let open = tape.open_effects().into_iter();
        Self {
            open: Mutex::new(open.map(|(id, effect)| (id, Open { effect, started })).collect()),
            notes: Mutex::new(tape.take_notes()),
            was_left: AtomicBool::new(tape.start().is_some()),
            ..Self::default()
        }
    }
}

impl Effects {
    /// Effects are numbered in the order in which the pattern asks for them, so that a run that is gone over again gives each its number.
    pub(crate) fn next_ordinal(&self) -> u32 {
        self.state.ordinal.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Carries out one effect. An error is the host's own: the journal could not be written.
    ///
    /// Everything up to the first wait happens at the first poll, so that calls that are polled in order queue in order.
    pub(crate) async fn dispatch(&self, ordinal: u32, effect: Effect) -> Result<Outcome> {
        let id = format!("{}.{ordinal}", self.run);
        if let Some(outcome) = self.known(&id, &effect)? {
            return Ok(outcome);
        }
        match effect {
            Effect::Model(action) => {
                self.intent_to_ask(&id, ordinal, &action).await?;
                kill_point("agent.model.intended");
                let (executed, ms) = timed(self.ask(&id, &action)).await;
                kill_point("agent.model.answered");
                self.outcome_of_model(id, &action.thread, executed?, ms).await
            }
            // In boxes: most of a run's time goes by in model calls, and their future is as large as the largest of these.
            Effect::Tool(call) => Box::pin(self.dispatch_call(id, ordinal, call)).await,
            Effect::Question(question) => Box::pin(self.put(id, &question)).await,
            Effect::Delegate(task) => Box::pin(self.hand_over(id, ordinal, task)).await,
            Effect::Memory(operation) => Box::pin(self.dispatch_memory(id, ordinal, operation)).await,
        }
    }

    async fn dispatch_call(&self, id: String, ordinal: u32, call: ToolEffect) -> Result<Outcome> {
        let admitted = self.policy(&call);
        self.note_ruling(&id, &call, &admitted);
        let mut ticket = admitted.as_ref().ok().and_then(|admitted| self.queue(admitted));
        if let Some(ticket) = &mut ticket {
            ticket.granted().await;
        }
        let admitted = match self.consent(&id, &call, admitted).await? {
            tool::Word::Given(admitted) => {
                admitted.and_then(|admitted| self.take_call(&call, &admitted).map(|()| admitted))
            }
            tool::Word::Instead(outcome) => {
                // It was begun, and counts.
                self.count_call(&call);
                return self.outcome_of_tool(id, call, outcome, 0).await;
            }
            tool::Word::Ends(outcome) => return Ok(outcome),
        };
        self.execute(id, ordinal, call, admitted).await
    }

    /// What the tape knows of an effect that has ended. The run counts it as it did then.
    fn known(&self, id: &str, effect: &Effect) -> Result<Option<Outcome>> {
        let Some((past, outcome)) = self
            .tape
            .effect(id)
            .and_then(|past| Some((past, past.outcome.as_ref()?)))
        else {
            return Ok(None);
        };
        Ok(Some(match (effect, outcome) {
            (Effect::Model(_), PastOutcome::Replied(reply)) => self.replied(id.to_owned(), reply.clone()),
            (Effect::Model(_), PastOutcome::NoReply(error)) => Outcome::ModelFailed(Box::new(error.clone())),
            (Effect::Tool(call), PastOutcome::Tool(outcome)) => {
                if !past.refused {
                    self.count_call(call);
                }
                self.ended(call, outcome)
            }
            (Effect::Memory(operation), PastOutcome::Remembered(outcome)) => self.remembered(operation.op(), outcome),
            (Effect::Delegate(_), PastOutcome::Delegated(end)) => {
                if !past.refused {
                    self.spending.count_tool_call();
                }
                self.spending.add_delegated(end, Duration::ZERO);
                Self::delegated(id.to_owned(), end)
            }
            _ => return Err(other_recording(id)),
        }))
    }

    pub(crate) async fn record(&self, body: EventBody) -> Result<()> {
        self.record_event(body).await.map(|_| ())
    }

    /// Appends to the journal and to the conversation. What comes back is what was written: protected values are not in it any more.
    pub(crate) async fn record_event(&self, body: EventBody) -> Result<Arc<Event>> {
        self.record_decided(body, DecidedBy::Default).await
    }

    /// The same for the beginning of an effect that somebody has decided on.
    async fn record_decided(&self, body: EventBody, by: DecidedBy) -> Result<Arc<Event>> {
        let Some(writer) = &self.writer else {
            return Err(end_of_tape());
        };
        let mut conversation = self.conversation.lock().await;
        // Until now the run was nobody's, and that time doesn't count. An answer says so itself.
        let silent = matches!(body, EventBody::Resumed { .. } | EventBody::RunFinished(_));
        if self.state.was_left.swap(false, Ordering::Relaxed) && !silent {
            let event = writer.append(&self.run, goes_on()).await?;
            conversation.apply(&event);
        }
        kill_point("agent.event.append");
        let event = writer.append_decided(&self.run, body, by).await?;
        conversation.apply(&event);
        kill_point("agent.event.appended");
        Ok(event)
    }

    /// The same for what is no effect: on the tape it is passed, behind its end it is appended.
    pub(crate) async fn note(&self, body: EventBody) -> Result<()> {
        let passed = lock(&self.state.notes).pop_front().is_some();
        if passed {
            return Ok(());
        }
        kill_point("agent.note.begins");
        self.record(body).await?;
        kill_point("agent.note.recorded");
        Ok(())
    }

    /// Whether the next note is on the tape.
    pub(crate) fn is_noted(&self) -> bool {
        !lock(&self.state.notes).is_empty()
    }

    pub(crate) async fn flush(&self) -> Result<()> {
        match &self.writer {
            Some(writer) => writer.flush().await,
            None => Err(end_of_tape()),
        }
    }

    /// Ends what was running when the run was stopped, so that no intent is left without an outcome. Says what others had used for it.
    pub(crate) async fn interrupt(&self, why: &Error) -> Result<Used> {
        let mut used = Used::default();
        let open = std::mem::take(&mut *lock(&self.state.open));
        for (effect, Open { effect: what, started }) in open {
            let ms = millis(started.elapsed());
            let body = match what {
                Effect::Model(_) => EventBody::ModelDiscarded {
                    effect,
                    error: why.clone(),
                    ms,
                },
                Effect::Tool(call) => EventBody::ToolFinished {
                    denials: self.state.denials.take(&effect),
                    effect,
                    call_id: call.call_id,
                    thread: call.thread,
                    name: call.name,
                    outcome: ToolOutcome::Error(why.clone()),
                    ms,
                },
                Effect::Memory(operation) => {
                    self.memory_finished(&effect, operation.op(), MemoryOutcome::Error(why.clone()), ms)
                }
                Effect::Delegate(task) => {
                    used.add(Box::pin(self.end_delegation(&effect, &task, why)).await?);
                    continue;
                }
                // A suspension is closed by the end of its run.
                Effect::Question(_) => continue,
            };
            self.record(body).await?;
        }
        Ok(used)
    }

    pub(crate) fn keep_text(&self, id: &str, text: Arc<str>) {
        lock(&self.state.texts).insert(id.to_owned(), text);
    }

    /// The text of an unfinished reply.
    pub(crate) fn partial(&self) -> String {
        lock(&self.state.partial).clone()
    }

    fn note_open(&self, id: &str, effect: Effect) {
        self.close(id);
        let started = Instant::now();
        lock(&self.state.open).push((id.to_owned(), Open { effect, started }));
    }

    fn close(&self, id: &str) {
        lock(&self.state.open).retain(|(other, _)| other != id);
    }
}

/// Somebody has the run again.
fn goes_on() -> EventBody {
    EventBody::Resumed {
        suspension: None,
        answer: None,
        by: None,
    }
}

/// A replay has come to where nothing was recorded.
pub(crate) fn end_of_tape() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "end-of-recording",
        "the recording of the run ends here",
    )
}

/// The journal has another kind of effect under this number than the loop asks for.
fn other_recording(id: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        "other-recording",
        format!("the journal has another kind of effect as `{id}` than the run asks for"),
    )
    .with_hint("report this as a defect, with the run's `sandbar sessions show --json`")
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, u64) {
    let started = Instant::now();
    let result = future.await;
    (result, millis(started.elapsed()))
}

pub(crate) fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
