//! The one place where a model or a tool is called: policy ▸ budget ▸ intent ▸ execute ▸ outcome.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use sandbar_protocol::{
    Approval, ApprovalRequest, Approver, Delta, Error, ErrorKind, EventBody, Model, ModelAction, ModelPart, ModelReply,
    ModelRequest, ProgressSink, Result, RunId, SessionId, Tool, ToolInvocation, ToolOutcome, WorkspaceId,
};
use sandbar_store::SessionWriter;
use serde_json::Value;

use crate::arguments;
use crate::conversation::{Conversation, outcome_text};
use crate::locks::{ResourceLocks, Ticket};
use crate::resource::Access;
use crate::spending::Spending;

/// The longest answer of a model, in bytes of text and arguments: an endless stream must end.
const MAX_REPLY_BYTES: usize = 4 << 20;

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

    /// Whether the call may be made at all: the agent has the tool, and the arguments fit it.
    fn policy(&self, call: &ToolEffect) -> Result<Admitted> {
        let tool = self
            .tools
            .iter()
            .find(|tool| tool.spec().name == call.name)
            .ok_or_else(|| {
                let names: Vec<_> = self.tools.iter().map(|tool| tool.spec().name.as_str()).collect();
                let shown: String = call.name.chars().take(80).flat_map(char::escape_debug).collect();
                let error = Error::new(
                    ErrorKind::NotFound,
                    "unknown-tool",
                    format!("there is no tool `{shown}`"),
                );
                if names.is_empty() {
                    error.with_hint("there are no tools: answer without one")
                } else {
                    error.with_hint(format!("there are: {}", names.join(", ")))
                }
            })?;
        let input = arguments::parse(&call.name, &call.arguments, tool.input_schema())?;
        Ok(Admitted {
            tool: tool.clone(),
            input: Arc::new(input),
        })
    }

    /// Asks a person, if there is one to ask and the tool is no reader.
    async fn approve(&self, id: &str, call: &ToolEffect, admitted: Result<Admitted>) -> Result<Admitted> {
        let admitted = admitted?;
        let traits = &admitted.tool.spec().traits;
        let Some(approver) = self.approver.as_ref().filter(|_| !traits.read_only) else {
            return Ok(admitted);
        };
        let invocation = self.invocation(id, call, &admitted);
        let preview = match admitted.tool.preview(invocation) {
            Some(preview) => match preview.await {
                Ok(output) => Some(output.text),
                // The call would fail in the same way, and the model can mend that without troubling a person.
                Err(error) => return Err(error),
            },
            None => None,
        };
        let request = ApprovalRequest {
            call_id: call.call_id.clone(),
            tool: call.name.clone(),
            arguments: admitted.input.clone(),
            destructive: traits.destructive,
            preview,
        };
        let approval = {
            let _paused = self.spending.pause();
            approver(request).await
        };
        match approval {
            Approval::Allow => Ok(admitted),
            Approval::Deny { reason } => Err(Error::new(
                ErrorKind::Denied,
                "denied-by-person",
                format!("the person who watches did not allow `{}`: {reason}", call.name),
            )
            .with_hint("ask what they want, or go on without it")),
        }
    }

    fn invocation(&self, id: &str, call: &ToolEffect, admitted: &Admitted) -> ToolInvocation {
        ToolInvocation {
            session: self.session.clone(),
            run: self.run.clone(),
            call_id: call.call_id.clone(),
            input: admitted.input.clone(),
            progress: self.progress(id),
        }
    }

    fn budget(&self) -> Result<()> {
        if self.spending.take_tool_call() {
            return Ok(());
        }
        let limit = self.spending.limits().tool_calls;
        Err(Error::new(
            ErrorKind::Limit,
            "tool-call-limit",
            format!("the run has used up its limit of {limit} tool calls"),
        ))
    }

    fn queue(&self, admitted: &Admitted) -> Option<Ticket> {
        let access = Access::of(&admitted.tool.spec().traits, &admitted.input);
        Some(self.locks.queue(self.workspace.as_ref()?, access))
    }

    async fn intent_to_ask(&self, id: &str, ordinal: u32, action: &ModelAction) -> Result<()> {
        self.note_open(id, Effect::Model(action.clone()));
        // A model may be asked again after a crash: nothing waits for this commit.
        self.record(EventBody::ModelStarted {
            effect: id.to_owned(),
            ordinal,
            model: self.model.name().to_owned(),
            thread: action.thread.clone(),
            appended: action.append.clone(),
        })
        .await
    }

    async fn intent_to_call(
        &self,
        id: &str,
        ordinal: u32,
        call: &ToolEffect,
        admitted: Option<&Admitted>,
    ) -> Result<()> {
        // What is refused has no effect, so that it may be repeated.
        let idempotent = admitted.is_none_or(|admitted| admitted.tool.spec().traits.idempotent);
        self.note_open(id, Effect::Tool(call.clone()));
        self.record(EventBody::ToolStarted {
            effect: id.to_owned(),
            parent: None,
            ordinal,
            call_id: call.call_id.clone(),
            thread: call.thread.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            argument_digest: arguments::digest(&call.arguments),
            idempotency_key: id.to_owned(),
            idempotent,
        })
        .await?;
        if !idempotent {
            // It must not happen before the journal knows that it was about to.
            self.writer.flush().await?;
        }
        Ok(())
    }

    async fn ask(&self, id: &str, action: &ModelAction) -> Result<ModelReply> {
        let request = self.request(action).await;
        let mut stream = self.model.call(request);
        lock(&self.partial).clear();
        let mut bytes = 0;
        while let Some(part) = stream.next().await {
            match part? {
                ModelPart::Finished(reply) => return Ok(*reply),
                ModelPart::Text(text) => {
                    bytes += text.len();
                    lock(&self.partial).push_str(&text);
                    self.writer.preview(Delta::Model {
                        effect: id.to_owned(),
                        text,
                    });
                }
                ModelPart::CallStarted { .. } => bytes += 1,
                ModelPart::CallArguments { text, .. } => bytes += text.len(),
            }
            if bytes > MAX_REPLY_BYTES {
                return Err(Error::new(
                    ErrorKind::Model,
                    "reply-too-large",
                    format!(
                        "the model `{}` wrote more than {} MiB",
                        self.model.name(),
                        MAX_REPLY_BYTES >> 20
                    ),
                ));
            }
        }
        Err(Error::new(
            ErrorKind::Model,
            "model-cut-off",
            format!("the answer of the model `{}` ended in the middle", self.model.name()),
        )
        .retryable())
    }

    async fn request(&self, action: &ModelAction) -> ModelRequest {
        let parts = [Some(self.instructions.as_str()), action.instructions.as_deref()];
        let parts: Vec<&str> = parts.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        let offered = |name: &str| {
            action
                .tools
                .as_ref()
                .is_none_or(|names| names.iter().any(|other| other == name))
        };
        ModelRequest {
            instructions: parts.join("\n\n"),
            thread: action.thread.clone(),
            messages: self.conversation.lock().await.messages(&action.thread),
            tools: self
                .tools
                .iter()
                .map(|tool| tool.spec())
                .filter(|spec| offered(&spec.name))
                .cloned()
                .collect(),
            schema: action.schema.clone(),
        }
    }

    async fn call(&self, id: &str, call: &ToolEffect, admitted: Result<Admitted>) -> Result<ToolOutcome> {
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(ToolOutcome::Error(refusal)),
        };
        let invocation = self.invocation(id, call, &admitted);
        Ok(match admitted.tool.call(invocation).await {
            Ok(output) => ToolOutcome::Output(output),
            Err(error) => ToolOutcome::Error(error),
        })
    }

    fn progress(&self, id: &str) -> ProgressSink {
        // Weak: a guest that is being torn down must not keep the session from its next run.
        let (writer, effect) = (Arc::downgrade(&self.writer), id.to_owned());
        Arc::new(move |text| {
            if let Some(writer) = writer.upgrade() {
                writer.preview(Delta::Tool {
                    effect: effect.clone(),
                    text: text.to_owned(),
                });
            }
        })
    }

    async fn outcome_of_model(
        &self,
        id: String,
        thread: &str,
        executed: Result<ModelReply>,
        ms: u64,
    ) -> Result<Outcome> {
        let mut reply = match executed {
            Ok(reply) => reply,
            Err(error) => {
                self.record(EventBody::ModelDiscarded {
                    effect: id.clone(),
                    error: error.clone(),
                    ms,
                })
                .await?;
                self.close(&id);
                return Ok(Outcome::ModelFailed(error));
            }
        };
        self.spending.add_model_call(reply.usage);
        self.name_calls(&mut reply).await;
        let finished = EventBody::ModelFinished {
            effect: id.clone(),
            thread: thread.to_owned(),
            reply: reply.clone(),
            ms,
        };
        self.record(finished).await?;
        self.close(&id);
        lock(&self.partial).clear();
        self.keep_text(&id, reply.message.text.as_str().into());
        for call in &reply.message.calls {
            self.keep_text(&format!("{}/input", call.id), call.arguments.as_str().into());
        }
        Ok(Outcome::Replied { id, reply })
    }

    /// Gives calls ids that the session hasn't seen.
    async fn name_calls(&self, reply: &mut ModelReply) {
        let conversation = self.conversation.lock().await;
        let mut taken = HashSet::new();
        for call in &mut reply.message.calls {
            call.id = conversation.unique_call_id(&call.id, &taken);
            taken.insert(call.id.clone());
        }
    }

    async fn outcome_of_tool(
        &self,
        id: String,
        call: ToolEffect,
        executed: Result<ToolOutcome>,
        ms: u64,
    ) -> Result<Outcome> {
        let outcome = executed?;
        let (text, failed) = outcome_text(&outcome);
        self.record(EventBody::ToolFinished {
            effect: id.clone(),
            call_id: call.call_id.clone(),
            thread: call.thread,
            name: call.name.clone(),
            outcome,
            ms,
        })
        .await?;
        self.close(&id);
        let text: Arc<str> = text.into();
        self.keep_text(&call.call_id, text.clone());
        Ok(Outcome::ToolEnded {
            call_id: call.call_id,
            name: call.name,
            text,
            failed,
        })
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
