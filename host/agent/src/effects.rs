//! The one place where a model or a tool is called: policy ▸ budget ▸ intent ▸ execute ▸ outcome.
//!
//! `dispatch` is the order of things; `effects/model.rs` and `effects/tool.rs` are its steps for each kind.

mod model;
mod tool;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandbar_protocol::{
    Approver, Error, EventBody, Model, ModelAction, ModelReply, Result, RunId, SessionId, Tool, ToolOutcome,
    WorkspaceId,
};
use sandbar_store::SessionWriter;
use serde_json::Value;

use crate::conversation::Conversation;
use crate::locks::ResourceLocks;
use crate::spending::Spending;

/// What a run wants done.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Model(ModelAction),
    Tool(ToolEffect),
}

#[derive(Debug, Clone)]
pub(crate) struct ToolEffect {
    pub(crate) call_id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) thread: String,
}

/// What came of it; in the journal already.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Replied {
        id: String,
        reply: ModelReply,
    },
    ModelFailed(Error),
    ToolEnded {
        call_id: String,
        name: String,
        text: Arc<str>,
        failed: bool,
    },
}

/// What the effects of one run share.
pub(crate) struct Effects {
    pub(crate) writer: Arc<SessionWriter>,
    pub(crate) session: SessionId,
    pub(crate) run: RunId,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) instructions: String,
    /// In the order of the configuration, which is the order in which the model sees them.
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) locks: ResourceLocks,
    pub(crate) spending: Spending,
    /// Asked before a tool that may change something is called; none lets the grants decide alone.
    pub(crate) approver: Option<Approver>,
    /// Held while an event is appended, so that the fold has the journal's order.
    pub(crate) conversation: tokio::sync::Mutex<Conversation>,
    /// Texts that the pattern may read, by id.
    pub(crate) texts: Arc<Mutex<HashMap<String, Arc<str>>>>,
    ordinal: AtomicU32,
    /// Effects with an intent and no outcome yet.
    open: Mutex<BTreeMap<String, Open>>,
    /// The text of a reply that is being written.
    partial: Mutex<String>,
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

impl Effects {
    #[expect(clippy::too_many_arguments, reason = "called once, with what a run consists of")]
    pub(crate) fn new(
        writer: Arc<SessionWriter>,
        run: RunId,
        model: Arc<dyn Model>,
        instructions: String,
        tools: Vec<Arc<dyn Tool>>,
        workspace: Option<WorkspaceId>,
        locks: ResourceLocks,
        spending: Spending,
        approver: Option<Approver>,
        conversation: Conversation,
    ) -> Self {
        Self {
            session: writer.session().clone(),
            writer,
            run,
            model,
            instructions,
            tools,
            workspace,
            locks,
            spending,
            approver,
            conversation: tokio::sync::Mutex::new(conversation),
            texts: Arc::default(),
            ordinal: AtomicU32::new(0),
            open: Mutex::default(),
            partial: Mutex::default(),
        }
    }

    /// Carries out one effect. An error is the host's own: the journal could not be written.
    ///
    /// Everything up to the first wait happens at the first poll, so that calls that are polled in order queue in order.
    pub(crate) async fn dispatch(&self, effect: Effect) -> Result<Outcome> {
        let ordinal = self.ordinal.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{}.{ordinal}", self.run);
        match effect {
            Effect::Model(action) => {
                self.intent_to_ask(&id, ordinal, &action).await?;
                let (executed, ms) = timed(self.ask(&id, &action)).await;
                self.outcome_of_model(id, &action.thread, executed, ms).await
            }
            Effect::Tool(call) => {
                let admitted = self.policy(&call).and_then(|admitted| self.budget().map(|()| admitted));
                let mut ticket = admitted.as_ref().ok().and_then(|admitted| self.queue(admitted));
                if let Some(ticket) = &mut ticket {
                    ticket.granted().await;
                }
                let admitted = self.approve(&id, &call, admitted).await;
                self.intent_to_call(&id, ordinal, &call, admitted.as_ref().ok()).await?;
                let (executed, ms) = timed(self.call(&id, &call, admitted)).await;
                drop(ticket);
                self.outcome_of_tool(id, call, executed, ms).await
            }
        }
    }

    /// Appends to the journal and to the conversation.
    pub(crate) async fn record(&self, body: EventBody) -> Result<()> {
        let mut conversation = self.conversation.lock().await;
        let sequence = self.writer.append(&self.run, body.clone()).await?;
        conversation.advance(sequence, &body);
        Ok(())
    }

    /// Ends what was running when the run was stopped, so that no intent is left without an outcome.
    pub(crate) async fn interrupt(&self, why: &Error) -> Result<()> {
        let open = std::mem::take(&mut *lock(&self.open));
        for (effect, Open { effect: what, started }) in open {
            let ms = millis(started.elapsed());
            let body = match what {
                Effect::Model(_) => EventBody::ModelDiscarded {
                    effect,
                    error: why.clone(),
                    ms,
                },
                Effect::Tool(call) => EventBody::ToolFinished {
                    effect,
                    call_id: call.call_id,
                    thread: call.thread,
                    name: call.name,
                    outcome: ToolOutcome::Error(why.clone()),
                    ms,
                },
            };
            self.record(body).await?;
        }
        Ok(())
    }

    pub(crate) fn keep_text(&self, id: &str, text: Arc<str>) {
        lock(&self.texts).insert(id.to_owned(), text);
    }

    /// The text of an unfinished reply.
    pub(crate) fn partial(&self) -> String {
        lock(&self.partial).clone()
    }

    fn note_open(&self, id: &str, effect: Effect) {
        lock(&self.open).insert(
            id.to_owned(),
            Open {
                effect,
                started: Instant::now(),
            },
        );
    }

    fn close(&self, id: &str) {
        lock(&self.open).remove(id);
    }
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
