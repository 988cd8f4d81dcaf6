//! How it stands with a run.

use sandbar::protocol::{Event, EventBody, Result, RunId};
use sandbar::store::{RunSummary, Store, SuspensionState, SuspensionSummary};

use crate::lines::stop_reason;

/// How many events are read at a time.
const PAGE: usize = 256;

/// A run, and what it waits for or was asked.
pub(super) struct RunState {
    pub(super) run: RunSummary,
    /// All that it has asked, oldest first.
    pub(super) suspensions: Vec<SuspensionSummary>,
    /// The process that has its session.
    pub(super) holder: Option<String>,
    /// The run that works for it and has not ended.
    pub(super) child: Option<RunId>,
    /// What the run was asked.
    pub(super) message: String,
}

impl RunState {
    pub(super) fn of(store: &Store, run: RunSummary) -> Result<Self> {
        let suspensions = store.suspensions(&run.id)?;
        let holder = match run.stop_reason {
            None => store.holder(&run.session)?,
            Some(_) => None,
        };
        let child = match run.stop_reason {
            None => store.open_child(&run.id)?.filter(|child| child.stop_reason.is_none()),
            Some(_) => None,
        };
        let first = store.events(&run.session, run.first_sequence.saturating_sub(1), 1)?;
        let message = match first.into_iter().next().map(|event| event.body) {
            Some(EventBody::RunStarted { message, .. }) => message,
            _ => String::new(),
        };
        Ok(Self {
            run,
            suspensions,
            holder,
            child: child.map(|child| child.id),
            message,
        })
    }

    /// What waits for an answer; nothing does in a run that has ended.
    pub(super) fn open(&self) -> impl Iterator<Item = &SuspensionSummary> {
        let open = |found: &&SuspensionSummary| found.state == SuspensionState::Open;
        self.suspensions.iter().filter(open)
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let holder = self.holder.as_deref().map(|id| format!("process {id}"));
        match (self.word(), holder) {
            ("ended", _) => self.run.stop_reason.map_or("ended", stop_reason).to_owned(),
            ("waiting", Some(holder)) => format!("waiting for an answer in {holder}"),
            ("waiting", None) => "waiting for an answer".to_owned(),
            ("running", Some(holder)) => format!("running in {holder}"),
            ("waiting-for-run", _) => format!("waiting for {}", self.child.as_ref().map_or("a run", RunId::as_str)),
            ("answered", _) => "answered, not gone on yet".to_owned(),
            (_, _) => "cut off".to_owned(),
        }
    }

    /// For programs.
    pub(super) fn word(&self) -> &'static str {
        let answered = |found: &SuspensionSummary| found.state == SuspensionState::Answered;
        if self.run.stop_reason.is_some() {
            "ended"
        } else if self.open().next().is_some() {
            "waiting"
        } else if self.holder.is_some() {
            "running"
        } else if self.suspensions.iter().any(answered) {
            "answered"
        } else if self.child.is_some() {
            "waiting-for-run"
        } else {
            "cut-off"
        }
    }
}

/// The events of a run.
pub(super) fn each_event(store: &Store, run: &RunSummary, mut see: impl FnMut(&Event)) -> Result<()> {
    let mut last = run.first_sequence.saturating_sub(1);
    let end = run.last_sequence.unwrap_or(u64::MAX);
    while last < end {
        let events = store.events(&run.session, last, PAGE)?;
        let Some(newest) = events.last() else { break };
        last = newest.sequence;
        events.iter().filter(|event| event.run == run.id).for_each(&mut see);
    }
    Ok(())
}
