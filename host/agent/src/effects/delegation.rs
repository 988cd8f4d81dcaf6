//! The side of delegations: may the agent hand over a task, who works on it, what came of it.
//!
//! Nothing is held meanwhile: the other agent takes the locks that its calls need, as any run does.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use sandbar_protocol::{
    ChildRun, DelegateOutcome, Error, ErrorKind, EventBody, Limits, MAX_DELEGATION_DEPTH, ParentRun, Result, RunResult,
    StopReason, kill_point,
};

use super::{Effect, Effects, Outcome, end_of_tape, lock, millis};
use crate::cancel::Cancel;
use crate::delegation::{Delegate, Delegation, child_of};
use crate::tape::{DelegateEnd, Used};

/// A task for another agent.
#[derive(Debug, Clone)]
pub(crate) struct DelegateEffect {
    pub(crate) agent: String,
    pub(crate) task: String,
    /// As the journal has it; none before there is an intent, and where it was refused.
    pub(crate) child: Option<ChildRun>,
}

/// What a run may hand over, and to whom.
pub(crate) struct Delegating {
    /// The agents that this one may delegate to.
    pub(crate) agents: Vec<String>,
    /// The agent of the run.
    pub(crate) agent: String,
    /// How many runs stand above this one.
    pub(crate) depth: u32,
    /// None in a replay.
    pub(crate) delegate: Option<Delegate>,
}

/// A delegated run that somebody has begun or continued here. It goes on also where nobody waits for it.
pub(super) struct LiveChild {
    cancel: Cancel,
    ended: Shared<BoxFuture<'static, Result<RunResult>>>,
}

impl Effects {
    pub(super) async fn hand_over(&self, id: String, ordinal: u32, task: DelegateEffect) -> Result<Outcome> {
        let past = self.tape.effect(&id);
        // What was begun goes on, whatever the configuration says by now.
        let begun = past.is_some_and(|past| !past.refused);
        let admitted = match begun {
            true => {
                self.spending.count_tool_call();
                Ok(())
            }
            false => self.may_delegate(&task.agent).and_then(|()| self.budget()),
        };
        let child = child_of(&id);
        let task = DelegateEffect {
            child: admitted.is_ok().then(|| child.clone()),
            ..task
        };
        self.note_open(&id, Effect::Delegate(task.clone()));
        self.record(EventBody::DelegateStarted {
            effect: id.clone(),
            ordinal,
            attempt: past.map_or(0, |past| past.attempts) + 1,
            agent: task.agent.clone(),
            task: task.task.clone(),
            child: task.child.clone(),
        })
        .await?;
        kill_point("agent.delegate.intended");
        let ended = match admitted {
            Err(refusal) => Err(refusal),
            Ok(()) => {
                let running = self.begin_child(&id, &task, child, Cancel::default())?;
                // The other agent's time is counted when it has ended, without its waiting for people.
                let _paused = self.spending.pause();
                running.await
            }
        };
        kill_point("agent.delegate.executed");
        if ended
            .as_ref()
            .is_ok_and(|result| result.stop_reason == StopReason::Suspended)
        {
            return Ok(Outcome::Waits);
        }
        let end = end_of(&task.agent, ended);
        self.conclude(&id, &task.agent, &end).await?;
        kill_point("agent.delegate.recorded");
        self.close(&id);
        Ok(Self::delegated(id, &end))
    }

    /// Whether the agent may give that one a task at all.
    fn may_delegate(&self, agent: &str) -> Result<()> {
        let Delegating {
            agents,
            agent: own,
            depth,
            ..
        } = &self.delegating;
        if !agents.iter().any(|allowed| allowed == agent) {
            let shown: String = agent.chars().take(80).flat_map(char::escape_debug).collect();
            let mut all: Vec<&str> = agents.iter().map(String::as_str).collect();
            all.push(&shown);
            return Err(Error::new(
                ErrorKind::Denied,
                "delegation-not-allowed",
                format!("the agent `{own}` may not delegate to `{shown}`"),
            )
            .with_hint(format!(
                "write `delegates = {all:?}` under `[agents.{own}]` in the configuration"
            )));
        }
        if *depth >= MAX_DELEGATION_DEPTH {
            return Err(Error::new(
                ErrorKind::Limit,
                "delegation-too-deep",
                format!("the run is {depth} delegations deep, and that is the limit"),
            )
            .with_hint("let an agent further up do it"));
        }
        Ok(())
    }

    fn begin_child(
        &self,
        id: &str,
        task: &DelegateEffect,
        child: ChildRun,
        cancel: Cancel,
    ) -> Result<Shared<BoxFuture<'static, Result<RunResult>>>> {
        let delegate = self.delegating.delegate.as_ref().ok_or_else(end_of_tape)?;
        let limits = self.spending.limits();
        let delegation = Delegation {
            parent: ParentRun {
                session: self.session.clone(),
                run: self.run.clone(),
                effect: id.to_owned(),
                depth: self.delegating.depth + 1,
            },
            child,
            agent: task.agent.clone(),
            task: task.task.clone(),
            limits: Limits {
                // Steps are decisions of another pattern: its own limit holds.
                steps: u32::MAX,
                tool_calls: limits.tool_calls.saturating_sub(self.spending.tool_calls()),
                wall_ms: millis(self.spending.wall_left()),
            },
            workspace: self.workspace.clone(),
            origin: self.origin,
            attended: self.attended.clone(),
            cancel: cancel.clone(),
        };
        let ended = delegate(delegation).shared();
        let live = LiveChild {
            cancel,
            ended: ended.clone(),
        };
        lock(&self.state.children).insert(id.to_owned(), live);
        Ok(ended)
    }

    async fn conclude(&self, id: &str, agent: &str, end: &DelegateEnd) -> Result<()> {
        self.spending.add_delegated(end, Duration::from_millis(end.ms));
        self.record(EventBody::DelegateFinished {
            effect: id.to_owned(),
            agent: agent.to_owned(),
            outcome: end.outcome.clone(),
            tool_calls: end.tool_calls,
            model_calls: end.model_calls,
            usage: end.usage,
            ms: end.ms,
        })
        .await
    }

    /// Ends what works on a task for a run that is stopped, and says what that has used.
    pub(super) async fn end_delegation(&self, id: &str, task: &DelegateEffect, why: &Error) -> Result<Used> {
        let live = lock(&self.state.children).remove(id);
        let ended = match (live, &task.child) {
            (Some(live), _) => {
                live.cancel.cancel();
                live.ended.await
            }
            // It was begun by a process that is gone.
            (None, Some(child)) => self.begin_child(id, task, child.clone(), Cancel::thrown())?.await,
            (None, None) => Err(why.clone()),
        };
        let mut end = end_of(&task.agent, ended);
        if let DelegateOutcome::Error(error) = &mut end.outcome {
            *error = why.clone();
        }
        self.conclude(id, &task.agent, &end).await?;
        Ok(Used {
            tool_calls: end.tool_calls,
            model_calls: end.model_calls,
            usage: end.usage,
            ..Used::default()
        })
    }

    /// What the pattern learns.
    pub(super) fn delegated(id: String, end: &DelegateEnd) -> Outcome {
        let (text, failed): (Arc<str>, bool) = match &end.outcome {
            DelegateOutcome::Text(text) => (text.as_str().into(), false),
            DelegateOutcome::Error(error) => (format!("error [{}]: {}", error.code, error.text()).into(), true),
        };
        Outcome::Delegated { id, text, failed }
    }
}

fn end_of(agent: &str, ended: Result<RunResult>) -> DelegateEnd {
    let result = match ended {
        Ok(result) => result,
        Err(error) => {
            return DelegateEnd {
                outcome: DelegateOutcome::Error(error),
                tool_calls: 0,
                model_calls: 0,
                usage: sandbar_protocol::Usage::default(),
                ms: 0,
            };
        }
    };
    let outcome = match result.stop_reason {
        StopReason::Finished => DelegateOutcome::Text(result.text),
        _ => {
            let silent = || Error::new(ErrorKind::Internal, "no-answer", "its run ended without saying why");
            let error = result.error.unwrap_or_else(silent);
            DelegateOutcome::Error(error.told(|why| format!("the agent `{agent}` gave no answer: {why}")))
        }
    };
    DelegateEnd {
        outcome,
        tool_calls: result.tool_calls,
        model_calls: result.model_calls,
        usage: result.usage,
        ms: result.wall_ms,
    }
}
