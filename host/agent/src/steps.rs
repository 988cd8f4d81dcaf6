//! The loop: asks the pattern, carries out what it decided, and asks again.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use sandbar_protocol::{
    Action, AskAction, Change, Decision, Error, ErrorKind, EventBody, History, ModelAction, ModelReply, Pattern,
    Result, Schema, StopReason, ToolCall, ToolsAction, View, kill_point,
};

use crate::budget::WhenUsedUp;
use crate::calls;
use crate::effects::{DelegateEffect, Effect, Effects, Outcome, check_schema, millis};
use crate::replay::{ReplayedStep, Replaying};

/// Tool calls of one turn that run beside each other; the others wait for their turn.
const MAX_PARALLEL_CALLS: usize = 16;
/// Sum of a run's artifacts from its pattern.
const MAX_ARTIFACT_BYTES: usize = 4 << 20;
/// Sum of a run's news from its pattern.
const MAX_NEWS_BYTES: usize = 1 << 20;
/// How often a model is asked again for an answer that fits the pattern's schema.
const MAX_VALIDATION_RETRIES: u32 = 2;

/// How the loop ended.
pub(crate) struct Ended {
    pub(crate) stop_reason: StopReason,
    pub(crate) finish_reason: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) error: Option<Error>,
}

impl Ended {
    pub(crate) fn because(stop_reason: StopReason, error: Error) -> Self {
        Self {
            stop_reason,
            finish_reason: None,
            text: None,
            error: Some(error),
        }
    }

    pub(crate) fn waits() -> Self {
        Self {
            stop_reason: StopReason::Suspended,
            finish_reason: None,
            text: None,
            error: None,
        }
    }
}

/// The state of a run between its steps.
pub(crate) struct Loop<'a> {
    pub(crate) effects: &'a Effects,
    pub(crate) pattern: Box<dyn Pattern>,
    pub(crate) when_used_up: WhenUsedUp,
    steps: u32,
    changes: Vec<Change>,
    /// Calls that the model asked for and that haven't run.
    calls: Vec<ToolCall>,
    /// Calls of its own that the pattern has asked for in this step.
    own_calls: u32,
    artifact_bytes: usize,
    news_bytes: usize,
    /// Times that a person was asked for more.
    pub(crate) extensions: u32,
    /// Set where recorded decisions are compared with those of the pattern.
    pub(crate) replaying: Option<Replaying>,
}

impl<'a> Loop<'a> {
    pub(crate) fn new(effects: &'a Effects, pattern: Box<dyn Pattern>, when_used_up: WhenUsedUp) -> Self {
        Self {
            effects,
            pattern,
            when_used_up,
            steps: 0,
            changes: Vec::new(),
            calls: Vec::new(),
            own_calls: 0,
            artifact_bytes: 0,
            news_bytes: 0,
            extensions: 0,
            replaying: None,
        }
    }

    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    pub(crate) async fn drive(&mut self, message: String) -> Ended {
        match self.take_steps(message).await {
            Ok(ended) => ended,
            Err(error) => Ended::because(StopReason::HostFailed, error),
        }
    }

    /// An error is the host's own.
    async fn take_steps(&mut self, message: String) -> Result<Ended> {
        let text: Arc<str> = message.into();
        Box::pin(self.effects.recall(&text)).await?;
        self.change_text("request", "request", text);
        let mut state: Arc<[u8]> = Arc::default();
        loop {
            if self.steps >= self.effects.spending.limits().steps
                && let Some(ended) = Box::pin(self.used_up_steps()).await?
            {
                return Ok(ended);
            }
            self.steps += 1;
            self.own_calls = 0;
            let decision = match self.decide(state.clone()).await? {
                Ok(decision) => decision,
                Err(error) => return Ok(Ended::because(StopReason::PatternFailed, error)),
            };
            if let Some(changed) = &decision.state {
                state = changed.as_slice().into();
            }
            for action in decision.actions {
                if let Some(ended) = self.carry_out(action).await? {
                    return Ok(ended);
                }
            }
        }
    }

    /// What the pattern decides, or decided. Its state is there only where it changed. The inner error is the pattern's.
    async fn decide(&mut self, state: Arc<[u8]>) -> Result<Result<Decision>> {
        let view = self.view(state.clone());
        let ms_left = view.ms_left;
        let recorded = self.effects.tape.decision(self.steps).map(|recorded| Decision {
            actions: recorded.actions.clone(),
            state: recorded.state.clone(),
        });
        if let Some(recorded) = recorded {
            if let Some(replaying) = &mut self.replaying {
                let changes = view.changes.clone();
                let decided = self.pattern.step(view).await.map(|mut decision| {
                    decision.state = decision.state.filter(|new| **new != *state);
                    decision
                });
                replaying.steps.push(ReplayedStep {
                    step: self.steps,
                    changes,
                    recorded: recorded.clone(),
                    decided,
                });
            }
            return Ok(Ok(recorded));
        }
        if self.effects.writer.is_none() {
            return Err(crate::effects::end_of_tape());
        }
        kill_point("agent.step.asked");
        let mut decision = match self.pattern.step(view).await {
            Ok(decision) => decision,
            Err(error) => return Ok(Err(error)),
        };
        decision.state = decision.state.filter(|new| **new != *state);
        self.effects
            .record(EventBody::StepDecided {
                step: self.steps,
                ms_left,
                actions: decision.actions.clone(),
                state: decision.state.clone(),
            })
            .await?;
        kill_point("agent.step.recorded");
        Ok(Ok(decision))
    }

    fn view(&mut self, state: Arc<[u8]>) -> View {
        let spending = &self.effects.spending;
        let limits = spending.limits();
        let texts = self.effects.state.texts.clone();
        let history: History = Arc::new(move |id| {
            texts
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .get(id)
                .cloned()
        });
        let recorded = self.effects.tape.decision(self.steps);
        // A run goes on with the tools that it began with, also where the configuration has changed since.
        let tools = match self.effects.tape.start() {
            Some(start) => start.setup.tools.clone(),
            None => self.effects.tools.iter().map(|tool| tool.spec().name.clone()).collect(),
        };
        View {
            session: self.effects.session.clone(),
            run: self.effects.run.clone(),
            step: self.steps,
            changes: std::mem::take(&mut self.changes),
            state,
            tools,
            steps_left: limits.steps - self.steps,
            tool_calls_left: limits.tool_calls.saturating_sub(spending.tool_calls()),
            ms_left: recorded.map_or_else(|| millis(spending.wall_left()), |recorded| recorded.ms_left),
            history,
        }
    }

    async fn carry_out(&mut self, action: Action) -> Result<Option<Ended>> {
        match action {
            Action::Model(model) => self.ask_model(model).await,
            Action::Tools(tools) => Box::pin(self.call_tools(tools)).await,
            Action::Ask(question) => Box::pin(self.ask(question)).await,
            Action::Artifact(artifact) => {
                let bytes = artifact.content.len();
                let kept = self.effects.note(EventBody::Artifact(artifact));
                within(&mut self.artifact_bytes, bytes, MAX_ARTIFACT_BYTES, "artifacts", kept).await
            }
            Action::Emit { name, json } => {
                let bytes = name.len() + json.to_string().len();
                let shown = self.effects.note(EventBody::Custom { name, json });
                within(&mut self.news_bytes, bytes, MAX_NEWS_BYTES, "news", shown).await
            }
            Action::Discard { id, reason } => self.discard(id, reason).await,
            Action::Finish { text, reason } => Ok(Some(Ended {
                stop_reason: StopReason::Finished,
                finish_reason: Some(reason),
                text,
                error: None,
            })),
            Action::Delegate { agent, task } => Box::pin(self.delegate(agent, task)).await,
            Action::Compact { .. } => self.unsupported("compact").await,
        }
    }

    /// Asks until the answer fits the schema, if there is one, a few times.
    async fn ask_model(&mut self, mut action: ModelAction) -> Result<Option<Ended>> {
        let schema = match action.schema.as_ref().map(Schema::compile).transpose() {
            Ok(schema) => schema,
            Err(error) => return Ok(Some(Ended::because(StopReason::PatternFailed, error))),
        };
        let mut retries = 0;
        loop {
            let ordinal = self.effects.next_ordinal();
            let (id, reply) = match self.effects.dispatch(ordinal, Effect::Model(action.clone())).await? {
                Outcome::Replied { id, reply } => (id, reply),
                Outcome::ModelFailed(error) => return Ok(Some(Ended::because(StopReason::ModelFailed, *error))),
                _ => unreachable!("a model call has a model's outcome"),
            };
            let Some(problem) = schema.as_ref().and_then(|schema| misfit(schema, &reply)) else {
                self.take_reply(id, action.thread, *reply);
                return Ok(None);
            };
            if retries == MAX_VALIDATION_RETRIES {
                let error = Error::new(
                    ErrorKind::Model,
                    "answer-does-not-fit",
                    format!("the model's answer does not fit what was asked for, also when asked again: {problem}"),
                );
                let error = error.with_hint("a stronger model, or a simpler schema of the pattern, may help");
                return Ok(Some(Ended::because(StopReason::ModelFailed, error)));
            }
            retries += 1;
            self.effects
                .note(EventBody::ValidationRetry {
                    id,
                    thread: action.thread.clone(),
                    problem,
                })
                .await?;
            action.append.clear();
        }
    }

    fn take_reply(&mut self, id: String, thread: String, reply: ModelReply) {
        self.calls.extend(reply.message.calls.iter().cloned());
        self.changes.push(Change::Reply {
            id,
            thread,
            text: reply.message.text.as_str().into(),
            calls: reply.message.calls,
            finish_reason: reply.finish_reason,
        });
    }

    /// Calls beside each other where their resources allow it; results in the order of the calls.
    async fn call_tools(&mut self, action: ToolsAction) -> Result<Option<Ended>> {
        let mut calls = match calls::resolve(action, &mut self.calls, self.steps, &mut self.own_calls) {
            Ok(calls) => calls,
            Err(error) => return Ok(Some(Ended::because(StopReason::PatternFailed, error))),
        };
        let asked = calls.len();
        let more = self.more_calls(asked).await?;
        let left = match more {
            Ok(left) => left,
            Err(ended) => return Ok(Some(ended)),
        };
        calls.truncate(left);
        let dispatched = calls.into_iter().map(|call| {
            let ordinal = self.effects.next_ordinal();
            self.effects.dispatch(ordinal, Effect::Tool(call))
        });
        let outcomes: Vec<Outcome> = futures::stream::iter(dispatched)
            .buffered(MAX_PARALLEL_CALLS)
            .try_collect()
            .await?;
        let mut ends = None;
        for outcome in outcomes {
            match outcome {
                Outcome::ToolEnded {
                    call_id,
                    name,
                    text,
                    failed,
                } => self.changes.push(Change::ToolResult {
                    id: call_id,
                    name,
                    failed,
                    text,
                }),
                Outcome::Waits => ends = ends.or(Some(Ended::waits())),
                Outcome::Expired(error) => ends = Some(Ended::because(StopReason::Expired, *error)),
                _ => unreachable!("a tool call has a tool's outcome"),
            }
        }
        Ok(ends.or_else(|| (asked > left).then(|| self.out_of_calls(asked - left))))
    }

    async fn ask(&mut self, question: AskAction) -> Result<Option<Ended>> {
        if let Err(error) = check_schema(&question) {
            return Ok(Some(Ended::because(StopReason::PatternFailed, error)));
        }
        let ordinal = self.effects.next_ordinal();
        Ok(
            match self.effects.dispatch(ordinal, Effect::Question(question)).await? {
                Outcome::Answered { id, answer } => {
                    self.change_text(&id, "answer", answer.value.to_string().into());
                    None
                }
                Outcome::Waits => Some(Ended::waits()),
                Outcome::Expired(error) => Some(Ended::because(StopReason::Expired, *error)),
                _ => unreachable!("a question has an answer's outcome"),
            },
        )
    }

    /// Gives a task to another agent and waits for what comes of it. It counts as a call.
    async fn delegate(&mut self, agent: String, task: String) -> Result<Option<Ended>> {
        match self.more_calls(1).await? {
            Err(ended) => return Ok(Some(ended)),
            Ok(0) => return Ok(Some(self.out_of_calls(1))),
            Ok(_) => {}
        }
        let ordinal = self.effects.next_ordinal();
        let child = None;
        let effect = Effect::Delegate(DelegateEffect { agent, task, child });
        Ok(match self.effects.dispatch(ordinal, effect).await? {
            Outcome::Delegated { id, text, failed } => {
                self.change_text(&id, if failed { "delegate-failed" } else { "delegate" }, text);
                None
            }
            Outcome::Waits => Some(Ended::waits()),
            _ => unreachable!("a delegation has a delegation's outcome"),
        })
    }

    async fn discard(&mut self, id: String, reason: String) -> Result<Option<Ended>> {
        // What the journal has was checked then; the conversation is without the reply already.
        if !self.effects.is_noted() && !self.effects.conversation.lock().await.has_reply(&id) {
            let error = Error::new(
                ErrorKind::Plugin,
                "bad-decision",
                format!("the pattern discarded {id:?}, which is no reply"),
            );
            return Ok(Some(Ended::because(StopReason::PatternFailed, error)));
        }
        self.effects.note(EventBody::ReplyDiscarded { id, reason }).await?;
        Ok(None)
    }

    async fn unsupported(&mut self, action: &str) -> Result<Option<Ended>> {
        let id = format!("unsupported-{}", self.steps);
        let message = format!("the action `{action}` is not supported by this version");
        self.change_text(&id, "unsupported", message.as_str().into());
        self.effects.note(EventBody::Unsupported { id, message }).await?;
        Ok(None)
    }

    fn change_text(&mut self, id: &str, kind: &str, text: Arc<str>) {
        self.effects.keep_text(id, text.clone());
        self.changes.push(Change::Note {
            id: id.to_owned(),
            kind: kind.to_owned(),
            text,
        });
    }
}

/// Adds to what a pattern has written so far, and has it noted if that is within the limit.
async fn within(
    sum: &mut usize,
    bytes: usize,
    most: usize,
    what: &str,
    noted: impl Future<Output = Result<()>>,
) -> Result<Option<Ended>> {
    *sum += bytes;
    if *sum > most {
        let error = Error::new(
            ErrorKind::Limit,
            format!("{what}-too-large"),
            format!("the pattern's {what} have more than {} MiB", most >> 20),
        );
        return Ok(Some(Ended::because(StopReason::PatternFailed, error)));
    }
    noted.await?;
    Ok(None)
}

/// What is wrong with an answer, for the model. One that asks for tools is no answer yet.
fn misfit(schema: &Schema, reply: &ModelReply) -> Option<String> {
    if !reply.message.calls.is_empty() {
        return None;
    }
    let problems = match serde_json::from_str(&reply.message.text) {
        Ok(value) => schema.check(&value).err()?.join("; "),
        Err(error) => format!("it is not JSON: {error}"),
    };
    Some(format!(
        "Your answer must be one JSON value that fits the schema, and nothing else. It does not fit: {problems}"
    ))
}
