//! Kill points: the named places at which a harness lets the process die, to see what a successor makes of what is left.
//!
//! Without the cargo feature `kill-points` they are nothing. A name says where the process is: what has been done already, mostly.

/// Every point, in the order in which a run comes to them. `cargo xtask tidy` holds this against the calls in the sources.
pub const KILL_POINTS: &[&str] = &[
    "store.open.locked",
    "store.open.checkpoint",
    "store.open.migrated",
    "store.open.announced",
    "runtime.run.asked",
    "runtime.session.held",
    "runtime.resume.asked",
    "runtime.tape.read",
    "runtime.run.started",
    "agent.run.begins",
    "agent.event.append",
    "agent.event.appended",
    "agent.step.asked",
    "agent.step.recorded",
    "agent.model.intended",
    "agent.model.answered",
    "agent.model.recorded",
    "agent.tool.admitted",
    "agent.tool.intended",
    "agent.tool.flushed",
    "agent.tool.called",
    "agent.tool.recorded",
    "agent.memory.intended",
    "agent.memory.flushed",
    "agent.memory.called",
    "agent.memory.recorded",
    "agent.delegate.intended",
    "agent.delegate.executed",
    "agent.delegate.recorded",
    "agent.note.begins",
    "agent.note.recorded",
    "agent.suspension.recorded",
    "agent.suspension.flushed",
    "agent.answer.stored",
    "agent.resumed.recorded",
    "agent.approval.stored",
    "agent.consent.given",
    "agent.mend.answered",
    "agent.finish.begins",
    "agent.finish.recorded",
    "agent.finish.flushed",
    "runtime.session.released",
    "runtime.answer.stored",
    "store.batch.taken",
    "store.begin.done",
    "store.workspace.inserted",
    "store.session.inserted",
    "store.lease.taken",
    "store.event.inserted",
    "store.blob.inserted",
    "store.run.started",
    "store.run.finished",
    "store.suspension.asked",
    "store.suspension.answered",
    "store.suspension.resumed",
    "store.suspension.closed",
    "store.approval.inserted",
    "store.audit.inserted",
    "store.health.written",
    "store.health.enabled",
    "store.kv.written",
    "store.effect.written",
    "store.effect.concluded",
    "store.session.advanced",
    "store.lease.released",
    "store.commit.begins",
    "store.commit.done",
    "store.show.begins",
    "store.show.done",
];

/// The process may die here.
#[cfg(not(feature = "kill-points"))]
#[inline(always)]
pub fn kill_point(_name: &'static str) {}

#[cfg(feature = "kill-points")]
pub use armed::{arm_kill_point, drop_intents, intents_are_dropped, kill_point, passages};

#[cfg(feature = "kill-points")]
mod armed {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    use super::KILL_POINTS;
    use crate::{Error, ErrorKind, Result};

    static STATE: Mutex<State> = Mutex::new(State {
        armed: None,
        passages: BTreeMap::new(),
    });
    static WITHOUT_INTENTS: AtomicBool = AtomicBool::new(false);

    struct State {
        armed: Option<(&'static str, u64)>,
        passages: BTreeMap<&'static str, u64>,
    }

    /// The process dies here, as by `kill -9`, if this is the armed passage of the armed point.
    pub fn kill_point(name: &'static str) {
        let mut state = state();
        let passages = state.passages.entry(name).or_default();
        *passages += 1;
        let passage = *passages;
        if state.armed == Some((name, passage)) {
            // What other threads do until they are stopped may happen before any death.
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort();
        }
    }

    /// Lets the process die at the n-th passage of a point, counted from its start: `name:n`.
    pub fn arm_kill_point(what: &str) -> Result<()> {
        let parsed = what.split_once(':').and_then(|(name, passage)| {
            let name = KILL_POINTS.iter().find(|known| **known == name)?;
            Some((*name, passage.parse().ok()?))
        });
        let message = || format!("`{what}` is no kill point and passage");
        let armed = parsed.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "bad-kill-point", message()).with_hint("as in `store.commit.done:3`")
        })?;
        state().armed = Some(armed);
        Ok(())
    }

    /// How often each point has been passed.
    pub fn passages() -> BTreeMap<&'static str, u64> {
        state().passages.clone()
    }

    /// From now on no intent of a tool call is written, so that a harness can show that it would see what intents prevent.
    pub fn drop_intents() {
        WITHOUT_INTENTS.store(true, Ordering::Relaxed);
    }

    pub fn intents_are_dropped() -> bool {
        WITHOUT_INTENTS.load(Ordering::Relaxed)
    }

    fn state() -> MutexGuard<'static, State> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
