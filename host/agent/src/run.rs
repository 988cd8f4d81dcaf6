//! One run: `run.started`, steps of the pattern with their effects, `run.finished`; or as much of it as is possible now.

use std::sync::Arc;
use std::time::Duration;

use sandbar_protocol::{
    Clock, Error, ErrorKind, EventBody, Limits, Model, Pattern, Result, RunId, RunResult, RunSetup, StopReason, Tool,
    WorkspaceId, kill_point,
};
use sandbar_store::SessionWriter;

use crate::budget::WhenUsedUp;
use crate::cancel::Cancel;
use crate::consent::{Attended, ConsentRules};
use crate::conversation::Conversation;
use crate::effects::{Effects, State, millis};
use crate::inbox::Inbox;
use crate::locks::ResourceLocks;
use crate::spending::Spending;
use crate::steps::{Ended, Loop};
use crate::tape::{Tape, Used};

/// An agent, resolved for one run.
pub struct RunAgent {
    pub name: String,
    pub instructions: String,
    pub model: Arc<dyn Model>,
    pub tools: Vec<Arc<dyn Tool>>,
    pub pattern: Box<dyn Pattern>,
    /// The pattern's name and its component's digest.
    pub pattern_is: (String, String),
    pub limits: Limits,
    pub when_used_up: WhenUsedUp,
}

/// Everything that a run needs. Its session is held by the writer.
pub struct RunInput {
    pub writer: Arc<SessionWriter>,
    /// What the session's events so far amount to.
    pub conversation: Conversation,
    pub run: RunId,
    pub message: String,
    pub agent: RunAgent,
    pub place: RunPlace,
    pub cancel: Cancel,
    /// Who is there to be asked.
    pub attended: Attended,
    /// What the journal has of this run; empty for one that begins.
    pub tape: Tape,
}

/// What runs share with others.
#[derive(Debug, Clone)]
pub struct RunPlace {
    pub workspace: Option<WorkspaceId>,
    pub locks: ResourceLocks,
    pub inbox: Inbox,
    pub consent: Arc<ConsentRules>,
    pub clock: Arc<dyn Clock>,
}

/// Runs until the end, or until it has to wait for an answer that nobody here can give, and journals it. The conversation comes back
/// where it is known to agree with the journal.
pub async fn run(input: RunInput) -> (RunResult, Option<Conversation>) {
    let RunInput {
        writer,
        conversation,
        run,
        message,
        agent,
        place,
        cancel,
        attended,
        mut tape,
    } = input;
    kill_point("agent.run.begins");
    let begins = tape.start().is_none();
    let started = begins.then(|| started(&agent, &message, place.workspace.clone()));
    // Who was asked for more has been: the answer counts, whatever the configuration says now.
    let when_used_up = match tape.was_extended() {
        true => WhenUsedUp::Ask,
        false => agent.when_used_up,
    };
    let _reachable = place.inbox.reach(&run, &cancel);
    let pattern = agent.pattern;
    let spent = Duration::from_millis(tape.spent_ms());
    let state = State::of(&mut tape);
    let effects = Effects {
        session: writer.session().clone(),
        writer: Some(writer),
        run,
        model: agent.model,
        instructions: agent.instructions,
        tools: agent.tools,
        workspace: place.workspace,
        locks: place.locks,
        spending: Spending::start(agent.limits, spent),
        attended,
        consent: place.consent,
        inbox: place.inbox,
        clock: place.clock,
        tape,
        conversation: tokio::sync::Mutex::new(conversation),
        state,
    };
    let mut looping = Loop::new(&effects, pattern, when_used_up);
    let wall = Duration::from_millis(agent.limits.wall_ms);
    // A run that is stopped before its first step has begun all the same.
    if let Some(started) = started
        && let Err(error) = effects.record(started).await
    {
        drop(looping);
        return finish(effects, Ended::because(StopReason::HostFailed, error), 0).await;
    }
    let ended = tokio::select! {
        // Cancelling wins over work that is ready, and a limit over both, so that neither can be outrun.
        biased;
        () = effects.spending.over() => stopped(StopReason::Timeout, format!("the run's {} s are over", wall.as_secs_f64())),
        () = cancel.cancelled() => stopped(StopReason::Cancelled, "the run was cancelled".to_owned()),
        ended = looping.drive(message) => ended,
    };
    let steps = looping.steps();
    drop(looping);
    finish(effects, ended, steps).await
}

/// The event that a run begins with.
fn started(agent: &RunAgent, message: &str, workspace: Option<WorkspaceId>) -> EventBody {
    let (pattern, pattern_digest) = agent.pattern_is.clone();
    EventBody::RunStarted {
        agent: agent.name.clone(),
        message: message.to_owned(),
        workspace,
        setup: RunSetup {
            model: agent.model.name().to_owned(),
            pattern,
            pattern_digest,
            instructions: agent.instructions.clone(),
            tools: agent.tools.iter().map(|tool| tool.spec().name.clone()).collect(),
            limits: agent.limits,
        },
    }
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

/// Closes what is open, and journals the result; of a run that waits nothing is closed.
async fn finish(effects: Effects, ended: Ended, steps: u32) -> (RunResult, Option<Conversation>) {
    let waits = ended.stop_reason == StopReason::Suspended;
    let interrupted = match &ended.error {
        Some(error) if !waits => effects.interrupt(error).await,
        _ => Ok(()),
    };
    let text = match ended.text {
        Some(text) => text,
        None => match effects.partial() {
            partial if partial.is_empty() => effects.conversation.lock().await.last_text(),
            partial => partial,
        },
    };
    let live = Used {
        steps,
        tool_calls: effects.spending.tool_calls(),
        model_calls: effects.spending.model_calls(),
        usage: effects.spending.usage(),
    };
    // A run that is ended before it went over its tape has used what the tape says.
    let past = effects.tape.used();
    let used = if live.steps < past.steps { past } else { live };
    let mut result = RunResult {
        session: effects.session.clone(),
        run: effects.run.clone(),
        stop_reason: ended.stop_reason,
        finish_reason: ended.finish_reason,
        text,
        error: ended.error,
        steps: used.steps,
        tool_calls: used.tool_calls,
        model_calls: used.model_calls,
        usage: used.usage,
        wall_ms: millis(effects.spending.wall()),
    };
    if let Err(error) = journal(&effects, interrupted, &result).await {
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

async fn journal(effects: &Effects, interrupted: Result<()>, result: &RunResult) -> Result<()> {
    interrupted?;
    if result.stop_reason != StopReason::Suspended {
        kill_point("agent.finish.begins");
        effects.record(EventBody::RunFinished(result.clone())).await?;
        kill_point("agent.finish.recorded");
    }
    effects.flush().await?;
    kill_point("agent.finish.flushed");
    Ok(())
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
