//! Delegated runs: begun for another run, continued with it, and what their ends mean for the runs above them.

use std::sync::{Arc, Weak};

use sandbar_agent::{Attended, Delegate, Delegation, Tape};
use sandbar_plugins::Kind;
use sandbar_protocol::{Error, ErrorKind, EventBody, Result, RunId, RunResult, SessionId, StopReason, Usage};
use sandbar_store::{NewSession, RunSummary, Store};

use crate::runtime::{Runtime, Start};
use crate::sessions::Kept;
use crate::shared::Shared;
use crate::work::{Held, Job};

/// What runs are given to hand over tasks with. It doesn't keep the runtime open.
pub(crate) fn delegate(shared: &Arc<Shared>) -> Delegate {
    let shared = Arc::downgrade(shared);
    Arc::new(move |delegation| Box::pin(run_child(shared.clone(), delegation)))
}

async fn run_child(shared: Weak<Shared>, delegation: Delegation) -> Result<RunResult> {
    let runtime = shared.upgrade().map(|shared| Runtime { shared }).ok_or_else(closed)?;
    let stream = match runtime.begin_child(&delegation).await? {
        Child::Runs(stream) => stream,
        Child::Has(result) => return Ok(*result),
    };
    // The runtime may be closed while this waits.
    drop(runtime);
    stream.result().await
}

/// How it stands with a delegated run.
enum Child {
    Runs(Box<crate::RunStream>),
    /// It has ended, or somebody else has it.
    Has(Box<RunResult>),
}

impl Runtime {
    async fn begin_child(&self, delegation: &Delegation) -> Result<Child> {
        let shared = &self.shared;
        let (session, run) = (&delegation.child.session, &delegation.child.run);
        let thrown = delegation.cancel.is_thrown();
        // The run above may have begun just now: its workspace is looked for in the journal.
        shared.store.settle().await?;
        let begun = shared.find_run(run)?;
        if begun.is_none() && thrown {
            return Err(never_begun());
        }
        if let Some(found) = begun.as_ref().filter(|found| found.stop_reason.is_some()) {
            return result_of(&shared.store, found).map(|result| Child::Has(Box::new(result)));
        }
        let held = match shared.store.session_origin(session)? {
            None => shared.begin_child_session(delegation)?,
            Some(_) => match shared.take_up(session, Some(&delegation.agent)).await {
                Ok(held) => held,
                Err(error) if error.code == "session-busy" => {
                    if thrown {
                        shared.store.ask_to_cancel(run).await?;
                    }
                    return Ok(Child::Has(Box::new(elsewhere(delegation))));
                }
                // Its agent is gone from the configuration: the one that ends it needs none.
                Err(error) if error.code == "no-agent" && begun.is_some() => {
                    shared.take_up(session, None).await.map_err(|_| error)?
                }
                Err(error) => return Err(error),
            },
        };
        let mut unusable = None;
        // Again, now that nobody else can change it.
        let job = if let Some(found) = shared.find_run(run)? {
            if found.stop_reason.is_some() {
                return result_of(&shared.store, &found).map(|result| Child::Has(Box::new(result)));
            }
            match shared.recorded_job(&held, &ending(&found, thrown)) {
                Ok(job) => job,
                Err(error) => {
                    // It can't go on: it ends, so that nobody waits for it.
                    unusable = Some(error);
                    shared.recorded_job(&held, &ending(&found, true))?
                }
            }
        } else {
            shared.child_job(&held, delegation)?
        };
        let stream = self.start(Start {
            held,
            jobs: vec![job],
            attended: delegation.attended.clone(),
            cancel: delegation.cancel.clone(),
            by_parent: true,
        });
        if let Some(error) = unusable {
            stream.result().await?;
            return Err(error);
        }
        Ok(Child::Runs(Box::new(stream)))
    }

    /// The run above goes on with what came of this one, unless somebody has it: whoever that is finds the end of this one.
    ///
    /// Who answered the one below isn't there for this one: what it wants asked waits.
    pub(crate) async fn go_on_above(&self, run: &RunId, attended: &Attended) {
        let attended = match attended {
            Attended::Allowing => Attended::Allowing,
            Attended::Nobody | Attended::By(_) => Attended::Nobody,
        };
        let parent = match self.shared.store.run(run) {
            Ok(found) if found.stop_reason.is_some() => found.parent,
            _ => None,
        };
        if let Some(parent) = parent
            && let Err(error) = Box::pin(self.resume(&parent, attended)).await
        {
            tracing::info!(%run, %parent, %error, "the run above is left to who has it");
        }
    }
}

impl Shared {
    fn find_run(&self, run: &RunId) -> Result<Option<RunSummary>> {
        match self.store.run(run) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A session in the workspace of the run above.
    fn begin_child_session(&self, delegation: &Delegation) -> Result<Held> {
        let agent = self.find_agent(Some(&delegation.agent))?.clone();
        self.plugins.check(&agent.pattern, Kind::Pattern)?;
        let id = &delegation.child.session;
        let workspace = delegation.workspace.clone().ok_or_else(|| no_workspace(id))?;
        let sandbox = self.sandbox(id, self.open_workspace(&workspace)?);
        let session = NewSession {
            id: id.clone(),
            agent: agent.name.clone(),
            workspace: Some(workspace.clone()),
        };
        Ok(Held {
            writer: self.store.begin_session(session, None)?,
            kept: Kept {
                conversation: sandbar_agent::Conversation::default(),
                sandbox,
            },
            agent,
            workspace,
        })
    }

    fn child_job(&self, held: &Held, delegation: &Delegation) -> Result<Job> {
        let run = delegation.child.run.clone();
        let mut agent = self.agent(held, &held.agent, &run, Some(delegation.limits))?;
        agent.origin = delegation.origin;
        Ok(Job {
            agent,
            run,
            parent: Some(delegation.parent.clone()),
            message: delegation.task.clone(),
            tape: Tape::default(),
            cancelled: false,
        })
    }
}

fn ending(found: &RunSummary, ends: bool) -> RunSummary {
    RunSummary {
        cancel_asked: found.cancel_asked || ends,
        ..found.clone()
    }
}

/// What a run that has ended came to.
fn result_of(store: &Store, run: &RunSummary) -> Result<RunResult> {
    let last = run.last_sequence.unwrap_or(1);
    let events = store.events(&run.session, last.saturating_sub(1), 1)?;
    match events.into_iter().next().map(|event| event.body) {
        Some(EventBody::RunFinished(result)) => Ok(result),
        _ => Err(Error::new(
            ErrorKind::Storage,
            "journal-corrupt",
            format!("the journal has no end of the run `{}`", run.id),
        )),
    }
}

/// Somebody else has the run, and brings its end to the run above.
fn elsewhere(delegation: &Delegation) -> RunResult {
    RunResult {
        session: delegation.child.session.clone(),
        run: delegation.child.run.clone(),
        stop_reason: StopReason::Suspended,
        finish_reason: None,
        text: String::new(),
        error: None,
        steps: 0,
        tool_calls: 0,
        model_calls: 0,
        usage: Usage::default(),
        wall_ms: 0,
    }
}

fn never_begun() -> Error {
    Error::new(ErrorKind::Cancelled, "cancelled", "the delegated run was not begun")
}

fn no_workspace(session: &SessionId) -> Error {
    Error::new(
        ErrorKind::Internal,
        "no-workspace",
        format!("the run that begins the session `{session}` has no workspace"),
    )
}

fn closed() -> Error {
    Error::new(ErrorKind::Cancelled, "runtime-closed", "the runtime was closed")
}
