//! Replay of a recorded run: what the model saw, what the pattern decided, and what it would decide now.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbar_agent::{ReplayInput, ReplayedStep, seen_by_models};
use sandbar_plugins::Kind;
use sandbar_protocol::{Error, ErrorKind, Message, Result, RunId};

use crate::shared::Shared;

/// A run, gone over again.
#[derive(Debug)]
pub struct Replay {
    pub run: RunId,
    pub pattern: String,
    /// Digests of the pattern's component, then and now.
    pub recorded_digest: String,
    pub digest: String,
    pub steps: Vec<ReplayedStep>,
    /// What the model was sent, by effect.
    pub seen: BTreeMap<String, Vec<Arc<Message>>>,
}

impl Replay {
    /// Whether the pattern decides what it decided, at every step.
    pub fn agrees(&self) -> bool {
        self.steps.iter().all(ReplayedStep::agrees)
    }
}

pub(crate) async fn replay(shared: &Shared, run: &RunId) -> Result<Replay> {
    let found = shared.store.run(run)?;
    let tape = shared.tape(&found)?;
    let setup = tape.start().map(|start| start.setup.clone()).unwrap_or_default();
    if setup.pattern.is_empty() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "no-recording",
            format!("the run `{run}` was recorded without its pattern's name"),
        )
        .with_hint("only runs of this version or a newer one can be replayed"));
    }
    let mut events = Vec::new();
    shared.store.each_event(&found.session, 0, |event| {
        if event.sequence <= found.last_sequence.unwrap_or(u64::MAX) {
            events.push(event.clone());
        }
    })?;
    let steps = sandbar_agent::replay(ReplayInput {
        session: found.session,
        run: run.clone(),
        tape,
        pattern: shared.bare_sandbox().pattern(&setup.pattern, run)?,
    })
    .await?;
    Ok(Replay {
        run: run.clone(),
        digest: shared.plugins.digest_of(&setup.pattern, Kind::Pattern)?,
        recorded_digest: setup.pattern_digest,
        pattern: setup.pattern,
        steps,
        seen: seen_by_models(&events, run),
    })
}
