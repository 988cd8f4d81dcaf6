//! One run: `run.started`, steps of the pattern with their effects, `run.finished`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use sandbar_protocol::{
    Action, Approver, Artifact, Change, Decision, Error, ErrorKind, EventBody, History, Limits, Model, ModelAction,
    Pattern, Result, RunId, RunResult, StopReason, Tool, ToolCall, ToolRequest, ToolsAction, View, WorkspaceId,
};
use sandbar_store::SessionWriter;

use crate::cancel::Cancel;
use crate::conversation::Conversation;
use crate::effects::{Effect, Effects, Outcome, ToolEffect, millis};
use crate::locks::ResourceLocks;
use crate::spending::Spending;

/// Tool calls of one turn that run beside each other; the others wait for their turn.
const MAX_PARALLEL_CALLS: usize = 16;
/// Sum of a run's artifacts from its pattern.
const MAX_ARTIFACT_BYTES: usize = 4 << 20;

/// An agent, resolved for one run.
pub struct RunAgent {
    pub name: String,
    pub instructions: String,
    pub model: Arc<dyn Model>,
    pub tools: Vec<Arc<dyn Tool>>,
    pub pattern: Box<dyn Pattern>,
    pub limits: Limits,
}

/// Everything that a run needs. Its session is held by the writer.
pub struct RunInput {
    pub writer: Arc<SessionWriter>,
    /// What the session's events so far amount to.
    pub conversation: Conversation,
    pub run: RunId,
    pub message: String,
    pub agent: RunAgent,
    pub workspace: Option<WorkspaceId>,
    pub locks: ResourceLocks,
    pub cancel: Cancel,
    /// Asked before a tool that may change something is called.
    pub approver: Option<Approver>,
}

/// How the loop ended.
struct Ended {
    stop_reason: StopReason,
    finish_reason: Option<String>,
    text: Option<String>,
    error: Option<Error>,
}

impl Ended {
    fn because(stop_reason: StopReason, error: Error) -> Self {
        Self {
            stop_reason,
            finish_reason: None,
            text: None,
            error: Some(error),
        }
    }
}

/// Runs to the end and journals it. The conversation comes back where it is known to agree with the journal.
pub async fn run(input: RunInput) -> (RunResult, Option<Conversation>) {
    let RunInput {
        writer,
        conversation,
        run,
        message,
        agent,
        workspace,
        locks,
        cancel,
        approver,
    } = input;
    let effects = Effects::new(
        writer,
        run,
        agent.model,
        agent.instructions,
        agent.tools,
        workspace.clone(),
        locks,
        Spending::start(agent.limits),
        approver,
        conversation,
    );
    let mut looping = Loop {
        effects: &effects,
        pattern: agent.pattern,
        steps: 0,
        changes: Vec::new(),
        calls: Vec::new(),
        artifact_bytes: 0,
    };
    let started = EventBody::RunStarted {
        agent: agent.name,
        message: message.clone(),
        workspace,
    };
    let wall = Duration::from_millis(agent.limits.wall_ms);
    let ended = tokio::select! {
        // Cancelling wins over work that is ready, and a limit over both, so that neither can be outrun.
        biased;
        () = effects.spending.over() => stopped(StopReason::Timeout, format!("the run's {} s are over", wall.as_secs_f64())),
        () = cancel.cancelled() => stopped(StopReason::Cancelled, "the run was cancelled".to_owned()),
        ended = looping.drive(started, message) => ended,
    };
    let steps = looping.steps;
    drop(looping);
    finish(effects, ended, steps).await
}

fn stopped(stop_reason: StopReason, message: String) -> Ended {
    let (kind, code) = match stop_reason {
        StopReason::Cancelled => (ErrorKind::Cancelled, "cancelled"),
        _ => (ErrorKind::Limit, "run-timeout"),
    };
    let error = Error::new(kind, code, message);
    let error = match stop_reason {
        StopReason::Timeout => {
            error.with_hint("ask for more time, up to the agent's `limits.wall_seconds` in the configuration")
        }
        _ => error,
    };
    Ended::because(stop_reason, error)
}

/// Closes what is open, and journals the result.
async fn finish(effects: Effects, ended: Ended, steps: u32) -> (RunResult, Option<Conversation>) {
    let interrupted = match &ended.error {
        Some(error) => effects.interrupt(error).await,
        None => Ok(()),
    };
    let text = match ended.text {
        Some(text) => text,
        None => match effects.partial() {
            partial if partial.is_empty() => effects.conversation.lock().await.last_text(),
            partial => partial,
        },
    };
    let mut result = RunResult {
        session: effects.session.clone(),
        run: effects.run.clone(),
        stop_reason: ended.stop_reason,
        finish_reason: ended.finish_reason,
        text,
        error: ended.error,
        steps,
        tool_calls: effects.spending.tool_calls(),
        model_calls: effects.spending.model_calls(),
        usage: effects.spending.usage(),
        wall_ms: millis(effects.spending.wall()),
    };
    let journaled = match interrupted {
        Ok(()) => effects.record(EventBody::RunFinished(result.clone())).await,
        failed => failed,
    };
    let committed = match journaled {
        Ok(()) => effects.writer.flush().await,
        failed => failed,
    };
    if let Err(error) = committed {
        result.stop_reason = StopReason::HostFailed;
        result.error = Some(error);
    }
    // A loop that was cut off may have appended an event that the conversation hasn't seen.
    let whole = !matches!(
        result.stop_reason,
        StopReason::Timeout | StopReason::Cancelled | StopReason::HostFailed
    );
    let conversation = effects.conversation.into_inner();
    (result, whole.then_some(conversation))
}

/// The state of a run between its steps.
struct Loop<'a> {
    effects: &'a Effects,
    pattern: Box<dyn Pattern>,
    steps: u32,
    changes: Vec<Change>,
    /// Calls that the model asked for and that haven't run.
    calls: Vec<ToolCall>,
    artifact_bytes: usize,
}

impl Loop<'_> {
    async fn drive(&mut self, started: EventBody, message: String) -> Ended {
        match self.steps(started, message).await {
            Ok(ended) => ended,
            Err(error) => Ended::because(StopReason::HostFailed, error),
        }
    }

    /// An error is the host's own.
    async fn steps(&mut self, started: EventBody, message: String) -> Result<Ended> {
        self.effects.record(started).await?;
        let text: Arc<str> = message.into();
        self.effects.keep_text("request", text.clone());
        self.changes.push(Change::Note {
            id: "request".to_owned(),
            kind: "request".to_owned(),
            text,
        });
        let mut state: Arc<[u8]> = Arc::default();
        let limits = self.effects.spending.limits();
        while self.steps < limits.steps {
            self.steps += 1;
            let view = self.view(state.clone());
            let decision = match self.pattern.step(view).await {
                Ok(decision) => decision,
                Err(error) => return Ok(Ended::because(StopReason::PatternFailed, error)),
            };
            let changed = decision.state.as_ref().filter(|new| ***new != *state).cloned();
            if let Some(changed) = &changed {
                state = changed.as_slice().into();
            }
            if let Some(ended) = self.carry_out(decision, changed).await? {
                return Ok(ended);
            }
        }
        let error = Error::new(
            ErrorKind::Limit,
            "max-steps",
            format!("the run has used up its limit of {} steps", limits.steps),
        );
        Ok(Ended::because(
            StopReason::MaxSteps,
            error.with_hint("ask for more steps, up to the agent's `limits.steps` in the configuration"),
        ))
    }

    fn view(&mut self, state: Arc<[u8]>) -> View {
        let spending = &self.effects.spending;
        let limits = spending.limits();
        let texts = self.effects.texts.clone();
        let history: History = Arc::new(move |id| {
            texts
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .get(id)
                .cloned()
        });
        View {
            session: self.effects.session.clone(),
            run: self.effects.run.clone(),
            step: self.steps,
            changes: std::mem::take(&mut self.changes),
            state,
            tools: self.effects.tools.iter().map(|tool| tool.spec().name.clone()).collect(),
            steps_left: limits.steps - self.steps,
            tool_calls_left: limits.tool_calls.saturating_sub(spending.tool_calls()),
            ms_left: millis(spending.wall_left()),
            history,
        }
    }

    async fn carry_out(&mut self, decision: Decision, state: Option<Vec<u8>>) -> Result<Option<Ended>> {
        let actions = decision.actions.clone();
        self.effects
            .record(EventBody::StepDecided {
                step: self.steps,
                actions: decision.actions,
                state,
            })
            .await?;
        for action in actions {
            let ended = match action {
                Action::Model(model) => self.ask_model(model).await?,
                Action::Tools(tools) => self.call_tools(tools).await?,
                Action::Artifact(artifact) => self.keep_artifact(artifact).await?,
                Action::Discard { id, reason } => self.discard(id, reason).await?,
                Action::Finish { text, reason } => Some(Ended {
                    stop_reason: StopReason::Finished,
                    finish_reason: Some(reason),
                    text,
                    error: None,
                }),
                Action::Delegate { .. } => self.unsupported("delegate").await?,
                Action::Compact { .. } => self.unsupported("compact").await?,
                Action::Ask(_) => self.unsupported("ask").await?,
            };
            if ended.is_some() {
                return Ok(ended);
            }
        }
        Ok(None)
    }

    async fn ask_model(&mut self, action: ModelAction) -> Result<Option<Ended>> {
        let thread = action.thread.clone();
        match self.effects.dispatch(Effect::Model(action)).await? {
            Outcome::Replied { id, reply } => {
                self.calls.extend(reply.message.calls.iter().cloned());
                self.changes.push(Change::Reply {
                    id,
                    thread,
                    text: reply.message.text.as_str().into(),
                    calls: reply.message.calls,
                    finish_reason: reply.finish_reason,
                });
                Ok(None)
            }
            Outcome::ModelFailed(error) => Ok(Some(Ended::because(StopReason::ModelFailed, error))),
            Outcome::ToolEnded { .. } => unreachable!("a model call has a model's outcome"),
        }
    }

    /// Calls beside each other where their resources allow it; results in the order of the calls.
    async fn call_tools(&mut self, action: ToolsAction) -> Result<Option<Ended>> {
        let mut calls = match self.resolve(action) {
            Ok(calls) => calls,
            Err(error) => return Ok(Some(Ended::because(StopReason::PatternFailed, error))),
        };
        let limit = self.effects.spending.limits().tool_calls;
        let left = limit.saturating_sub(self.effects.spending.tool_calls()) as usize;
        let asked = calls.len();
        calls.truncate(left);
        let outcomes: Vec<Outcome> =
            futures::stream::iter(calls.into_iter().map(|call| self.effects.dispatch(Effect::Tool(call))))
                .buffered(MAX_PARALLEL_CALLS)
                .try_collect()
                .await?;
        for outcome in outcomes {
            if let Outcome::ToolEnded {
                call_id,
                name,
                text,
                failed,
            } = outcome
            {
                self.changes.push(Change::ToolResult {
                    id: call_id,
                    name,
                    failed,
                    text,
                });
            }
        }
        if asked <= left {
            return Ok(None);
        }
        let error = Error::new(
            ErrorKind::Limit,
            "max-tool-calls",
            format!(
                "the run has used up its limit of {limit} tool calls, {} more were asked for",
                asked - left
            ),
        );
        Ok(Some(Ended::because(
            StopReason::MaxToolCalls,
            error.with_hint("ask for more, up to the agent's `limits.tool_calls` in the configuration"),
        )))
    }

    /// The calls behind the pattern's words.
    fn resolve(&mut self, action: ToolsAction) -> Result<Vec<ToolEffect>> {
        let mut seen = HashSet::new();
        let thread = action.thread;
        let mut own = 0;
        action
            .calls
            .into_iter()
            .map(|request| match request {
                ToolRequest::Own(call) => {
                    own += 1;
                    let call_id = format!("own-{}-{own}", self.steps);
                    Ok(ToolEffect { call_id, name: call.name, arguments: call.input, thread: thread.clone() })
                }
                ToolRequest::Asked(id) => {
                    let index = self.calls.iter().position(|call| call.id == id && seen.insert(id.clone()));
                    let call = index.map(|index| self.calls.remove(index)).ok_or_else(|| {
                        Error::new(
                            ErrorKind::Plugin,
                            "bad-decision",
                            format!("the pattern asked for the call {id:?}, which the model did not ask for or which has run"),
                        )
                        .with_hint("see `tool-request` in wit/pattern.wit")
                    })?;
                    Ok(ToolEffect { call_id: call.id, name: call.name, arguments: call.arguments, thread: thread.clone() })
                }
            })
            .collect()
    }

    async fn keep_artifact(&mut self, artifact: Artifact) -> Result<Option<Ended>> {
        self.artifact_bytes += artifact.content.len();
        if self.artifact_bytes > MAX_ARTIFACT_BYTES {
            let error = Error::new(
                ErrorKind::Limit,
                "artifacts-too-large",
                format!(
                    "the pattern's artifacts have more than {} MiB",
                    MAX_ARTIFACT_BYTES >> 20
                ),
            );
            return Ok(Some(Ended::because(StopReason::PatternFailed, error)));
        }
        self.effects.record(EventBody::Artifact(artifact)).await?;
        Ok(None)
    }

    async fn discard(&mut self, id: String, reason: String) -> Result<Option<Ended>> {
        if !self.effects.conversation.lock().await.has_reply(&id) {
            let error = Error::new(
                ErrorKind::Plugin,
                "bad-decision",
                format!("the pattern discarded {id:?}, which is no reply"),
            );
            return Ok(Some(Ended::because(StopReason::PatternFailed, error)));
        }
        self.effects.record(EventBody::ReplyDiscarded { id, reason }).await?;
        Ok(None)
    }

    async fn unsupported(&mut self, action: &str) -> Result<Option<Ended>> {
        let id = format!("unsupported-{}", self.steps);
        let message = format!("the action `{action}` is not supported by this version");
        self.changes.push(Change::Note {
            id: id.clone(),
            kind: "unsupported".to_owned(),
            text: message.as_str().into(),
        });
        self.effects.keep_text(&id, message.as_str().into());
        self.effects.record(EventBody::Unsupported { id, message }).await?;
        Ok(None)
    }
}

impl std::fmt::Debug for RunAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunAgent")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RunInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunInput")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}
