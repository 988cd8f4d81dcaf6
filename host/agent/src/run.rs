//! One run: `run.started`, steps of the pattern with their effects, `run.finished`; or as much of it as is possible now.

use std::sync::Arc;
use std::time::Duration;

use sandbar_protocol::policy::Origin;
use sandbar_protocol::{
    Clock, Error, ErrorKind, EventBody, Limits, Model, ParentRun, Pattern, Result, RunId, RunResult, RunSetup,
    StopReason, Tool, WorkspaceId, kill_point,
};
use sandbar_store::SessionWriter;

use crate::budget::WhenUsedUp;
use crate::cancel::Cancel;
use crate::consent::{Attended, ConsentRules};
use crate::conversation::Conversation;
use crate::delegation::Delegate;
use crate::effects::{Delegating, Effects, State, millis};
use crate::inbox::Inbox;
use crate::locks::ResourceLocks;
use crate::memory::RunMemory;
use crate::spending::Spending;
use crate::steps::{Ended, Loop};
use crate::tape::{Tape, Used};

/// An agent, resolved for one run.
pub struct RunAgent {
    pub name: String,
    pub instructions: String,
    pub model: Arc<dyn Model>,
    pub tools: Vec<Arc<dyn Tool>>,
    pub memory: Option<RunMemory>,
    pub pattern: Box<dyn Pattern>,
    /// The pattern's name and its component's digest.
    pub pattern_is: (String, String),
    pub limits: Limits,
    pub when_used_up: WhenUsedUp,
    /// Who wants the run.
    pub origin: Origin,
    /// The agents that it may delegate to.
    pub delegates: Vec<String>,
}

/// Everything that a run needs. Its session is held by the writer.
pub struct RunInput {
    pub writer: Arc<SessionWriter>,
    /// What the session's events so far amount to.
    pub conversation: Conversation,
    pub run: RunId,
    /// The run that gives it its task, if one does.
    pub parent: Option<ParentRun>,
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
#[derive(Clone)]
pub struct RunPlace {
    pub workspace: Option<WorkspaceId>,
    pub locks: ResourceLocks,
    pub inbox: Inbox,
    pub consent: Arc<ConsentRules>,
    pub clock: Arc<dyn Clock>,
    /// Runs other agents.
    pub delegate: Delegate,
}

/// Runs until the end, or until it has to wait for an answer that nobody here can give, and journals it. The conversation comes back
/// where it is known to agree with the journal.
pub async fn run(input: RunInput) -> (RunResult, Option<Conversation>) {
    let RunInput {
        writer,
        conversation,
        run,
        parent,
        message,
        agent,
        place,
        cancel,
        attended,
        mut tape,
    } = input;
    kill_point("agent.run.begins");
    let begins = tape.start().is_none();
    let started = begins.then(|| started(&agent, &message, place.workspace.clone(), parent.clone()));
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
        origin: agent.origin,
        workspace: place.workspace,
        locks: place.locks,
        spending: Spending::start(agent.limits, spent),
        memory: agent.memory,
        delegating: Delegating {
            agents: agent.delegates,
            agent: agent.name,
            depth: parent.map_or(0, |parent| parent.depth),
            delegate: Some(place.delegate),
        },
        attended,
        consent: place.consent,
        inbox: place.inbox,
        clock: place.clock,
        tape,
        conversation: tokio::sync::Mutex::new(conversation),
        state,
    };
    let turn = effects.memory.as_ref().map(|_| message.clone());
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
    let ended = match turn {
        Some(message) => remember(&effects, &message, ended, &cancel).await,
        None => ended,
    };
    finish(effects, ended, steps).await
}

/// Hands the turn of a run that has finished to its memory, which can't change how it ended.
async fn remember(effects: &Effects, message: &str, ended: Ended, cancel: &Cancel) -> Ended {
    if ended.stop_reason != StopReason::Finished {
        return ended;
    }
    let text = answer(effects, ended.text).await;
    match Box::pin(effects.commit(message, &text, cancel)).await {
        Ok(()) => Ended {
            text: Some(text),
            ..ended
        },
        // The journal's own: the memory's are recorded.
        Err(error) => Ended {
            text: Some(text),
            ..Ended::because(StopReason::HostFailed, error)
        },
    }
}

/// The pattern's own answer, or what the model has said.
async fn answer(effects: &Effects, own: Option<String>) -> String {
    match own {
        Some(text) => text,
        None => match effects.partial() {
            partial if partial.is_empty() => effects.conversation.lock().await.last_text(),
            partial => partial,
        },
    }
}

/// The event that a run begins with.
fn started(agent: &RunAgent, message: &str, workspace: Option<WorkspaceId>, parent: Option<ParentRun>) -> EventBody {
    let (pattern, pattern_digest) = agent.pattern_is.clone();
    EventBody::RunStarted {
        agent: agent.name.clone(),
        message: message.to_owned(),
        workspace,
        parent,
        setup: RunSetup {
            model: agent.model.name().to_owned(),
            pattern,
            pattern_digest,
            instructions: agent.instructions.clone(),
            tools: agent.tools.iter().map(|tool| tool.spec().name.clone()).collect(),
            memory: agent.memory.as_ref().map(|memory| memory.name.clone()),
            limits: agent.limits,
            origin: agent.origin,
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
        _ => Ok(Used::default()),
    };
    let text = answer(&effects, ended.text).await;
    let live = Used {
        steps,
        tool_calls: effects.spending.tool_calls(),
        model_calls: effects.spending.model_calls(),
        usage: effects.spending.usage(),
    };
    // A run that is ended before it went over its tape has used what the tape says.
    let mut past = effects.tape.used();
    past.add(interrupted.as_ref().copied().unwrap_or_default());
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
    match journal(&effects, interrupted.map(|_| ()), &result).await {
        Ok(None) => {}
        // As it was written: what a model has said of a protected value isn't in it.
        Ok(Some(written)) => result = written,
        Err(error) => {
            result.stop_reason = StopReason::HostFailed;
            result.error = Some(error);
        }
    }
    // A loop that was cut off may have appended an event that the conversation hasn't seen.
    let whole = !matches!(
        result.stop_reason,
        StopReason::Timeout | StopReason::Cancelled | StopReason::HostFailed
    );
    let conversation = effects.conversation.into_inner();
    (result, whole.then_some(conversation))
}

/// The result as the journal has it, if the run has ended.
async fn journal(effects: &Effects, interrupted: Result<()>, result: &RunResult) -> Result<Option<RunResult>> {
    interrupted?;
    let mut written = None;
    if result.stop_reason != StopReason::Suspended {
        kill_point("agent.finish.begins");
        let finished = effects.record_event(EventBody::RunFinished(result.clone())).await?;
        if let EventBody::RunFinished(result) = &finished.body {
            written = Some(result.clone());
        }
        kill_point("agent.finish.recorded");
    }
    effects.flush().await?;
    kill_point("agent.finish.flushed");
    Ok(written)
}

impl std::fmt::Debug for RunAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunAgent")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RunPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunPlace")
            .field("workspace", &self.workspace)
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
