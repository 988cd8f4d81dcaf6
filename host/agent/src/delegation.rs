//! The seam to whoever runs other agents: a run hands over a task, and learns what came of it.

use std::sync::Arc;

use futures::future::BoxFuture;
use sandbar_protocol::policy::Origin;
use sandbar_protocol::{ChildRun, Limits, ParentRun, Result, RunId, RunResult, SessionId, WorkspaceId};
use sha2::{Digest as _, Sha256};

use crate::cancel::Cancel;
use crate::consent::Attended;

/// A task for another agent.
#[derive(Debug, Clone)]
pub struct Delegation {
    pub parent: ParentRun,
    /// The session and the run that work on it: begun, continued, or ended already.
    pub child: ChildRun,
    pub agent: String,
    pub task: String,
    /// What it may spend at most: what its parent has left.
    pub limits: Limits,
    /// Shared with the parent.
    pub workspace: Option<WorkspaceId>,
    pub attended: Attended,
    /// Who wanted the parent run: what is denied to them isn't done through another agent either.
    pub origin: Origin,
    /// Thrown where the parent is stopped. One that is thrown from the beginning begins nothing, and ends what there is.
    pub cancel: Cancel,
}

/// Brings a delegated run to its end, or to where it waits for an answer that nobody here can give: the result says which. An error is
/// that it can't be begun or continued.
pub type Delegate = Arc<dyn Fn(Delegation) -> BoxFuture<'static, Result<RunResult>> + Send + Sync>;

/// What a delegation is carried out by: its ids follow from the effect, so that who comes to it again finds the same.
pub(crate) fn child_of(effect: &str) -> ChildRun {
    let number = |what: &str| {
        let digest = Sha256::new_with_prefix(effect)
            .chain_update([0])
            .chain_update(what)
            .finalize();
        let mut number = [0; 8];
        number.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(number)
    };
    ChildRun {
        session: SessionId::from_entropy(number("session")),
        run: RunId::from_entropy(number("run")),
    }
}
