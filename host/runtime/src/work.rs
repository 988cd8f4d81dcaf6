//! Work on a session that is held: its runs, one after the other.

use std::sync::{Arc, Weak};

use sandbar_agent::{Attended, Cancel, RunAgent, RunInput, RunPlace, Tape};
use sandbar_protocol::{ParentRun, RunId, RunResult, StopReason, WorkspaceId, kill_point};
use sandbar_store::SessionWriter;

use crate::config::agents::AgentConfig;
use crate::sessions::{self, Kept};
use crate::shared::Shared;

/// A session that is held for writing, and what its runs work on.
pub(crate) struct Held {
    pub(crate) writer: SessionWriter,
    pub(crate) kept: Kept,
    pub(crate) agent: AgentConfig,
    pub(crate) workspace: WorkspaceId,
}

/// One run, begun or not.
pub(crate) struct Job {
    pub(crate) run: RunId,
    /// The run that waits for this one.
    pub(crate) parent: Option<ParentRun>,
    pub(crate) message: String,
    pub(crate) agent: RunAgent,
    pub(crate) tape: Tape,
    /// Somebody wants it to end.
    pub(crate) cancelled: bool,
}

/// Runs one job after the other, until one has to wait.
pub(crate) async fn work(
    held: Held,
    jobs: Vec<Job>,
    attended: Attended,
    cancel: Cancel,
    place: RunPlace,
    shared: &Weak<Shared>,
) -> RunResult {
    let Kept {
        mut conversation,
        sandbox,
    } = held.kept;
    let (session, writer) = (held.writer.session().clone(), Arc::new(held.writer));
    let mut jobs = jobs.into_iter().peekable();
    loop {
        let job = jobs.next().expect("a job follows, as is looked up below");
        let input = RunInput {
            writer: writer.clone(),
            conversation,
            run: job.run,
            parent: job.parent,
            message: job.message,
            agent: job.agent,
            place: place.clone(),
            cancel: if job.cancelled {
                Cancel::thrown()
            } else {
                cancel.clone()
            },
            attended: attended.clone(),
            tape: job.tape,
        };
        let (result, known) = sandbar_agent::run(input).await;
        let stays = matches!(result.stop_reason, StopReason::Suspended | StopReason::HostFailed);
        if !stays && jobs.peek().is_some() {
            let read = match known {
                Some(known) => Ok(known),
                None => sessions::read(writer.store(), &session, writer.head()).await,
            };
            match read {
                Ok(read) => conversation = read,
                Err(error) => {
                    return RunResult {
                        stop_reason: StopReason::HostFailed,
                        error: Some(error),
                        ..result
                    };
                }
            }
            continue;
        }
        if let (Some(shared), Some(conversation)) = (shared.upgrade(), known) {
            shared.sessions.put(session, Kept { conversation, sandbox });
        }
        if result.stop_reason == StopReason::Suspended
            && let Some(writer) = Arc::into_inner(writer)
        {
            // Whoever brings the answer must be able to take the session. That it can't be given back is told to nobody: it ends with
            // this process.
            let _ = writer.close().await;
            kill_point("runtime.session.released");
        }
        return result;
    }
}
