//! A memory's side of an effect: what it is asked, and what is recorded of it. Whatever it does, the run goes on.

use sandbar_protocol::{
    Error, ErrorKind, EventBody, MemoryCaller, MemoryEntry, MemoryOp, MemoryOperation, MemoryOutcome, MemoryOutput,
    Result, head, kill_point,
};

use super::{Effect, Effects, Outcome, lock, other_recording, timed};
use crate::arguments;
use crate::cancel::Cancel;
use crate::memory::{RunMemory, fitting, shown};

/// The most of a message, or of an answer, that a memory is given: either may have megabytes.
const MAX_SAID_BYTES: usize = 64 << 10;

impl Effects {
    /// What fits the user's message; every model call of the run is told.
    pub(crate) async fn recall(&self, message: &str) -> Result<()> {
        if self.memory.is_none() {
            return Ok(());
        }
        let query = cut(message);
        let ordinal = self.next_ordinal();
        self.dispatch(ordinal, Effect::Memory(MemoryOperation::Recall { query }))
            .await
            .map(drop)
    }

    /// Hands over the turn of a run that has finished. Somebody who cancels now ends this, and not the run, which has its answer.
    pub(crate) async fn commit(&self, message: &str, answer: &str, cancel: &Cancel) -> Result<()> {
        let ordinal = self.next_ordinal();
        let turn = MemoryOperation::Commit {
            request: cut(message),
            reply: cut(answer),
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                let why = Error::new(ErrorKind::Cancelled, "cancelled", "the run was cancelled");
                self.interrupt(&why).await.map(drop)
            }
            committed = self.dispatch(ordinal, Effect::Memory(turn)) => committed.map(drop),
        }
    }

    pub(super) async fn dispatch_memory(
        &self,
        id: String,
        ordinal: u32,
        operation: MemoryOperation,
    ) -> Result<Outcome> {
        let memory = self.memory.as_ref().ok_or_else(|| other_recording(&id))?;
        let (op, past) = (operation.op(), self.tape.effect(&id));
        if past.is_some_and(|past| !past.repeatable) {
            // Nobody is asked about it: a memory that lacks a turn, or has it twice, is not worth keeping an answer back.
            return self
                .outcome_of_memory(id, op, MemoryOutcome::Error(unknown(memory, op)), 0)
                .await;
        }
        let attempt = past.map_or(0, |past| past.attempts) + 1;
        self.intent_to_remember(&id, ordinal, attempt, memory, &operation)
            .await?;
        let (outcome, ms) = timed(self.ask_memory(memory, operation)).await;
        kill_point("agent.memory.called");
        self.outcome_of_memory(id, op, outcome, ms).await
    }

    async fn intent_to_remember(
        &self,
        id: &str,
        ordinal: u32,
        attempt: u32,
        memory: &RunMemory,
        operation: &MemoryOperation,
    ) -> Result<()> {
        let (idempotent, input) = (is_idempotent(memory, operation), operation.input());
        self.note_open(id, Effect::Memory(operation.clone()));
        self.record(EventBody::MemoryStarted {
            effect: id.to_owned(),
            ordinal,
            attempt,
            plugin: memory.name.clone(),
            op: operation.op(),
            input_head: head(&input).to_owned(),
            input_digest: arguments::digest(&input),
            idempotent,
        })
        .await?;
        kill_point("agent.memory.intended");
        if !idempotent {
            // It must not happen before the journal knows that it was about to.
            self.flush().await?;
            kill_point("agent.memory.flushed");
        }
        Ok(())
    }

    async fn ask_memory(&self, memory: &RunMemory, operation: MemoryOperation) -> MemoryOutcome {
        let caller = MemoryCaller {
            session: self.session.clone(),
            run: Some(self.run.clone()),
        };
        let recalls = operation.op() == MemoryOp::Recall;
        let result = match &memory.plugin {
            Ok(plugin) => plugin.call(operation, caller).await,
            Err(error) => Err(error.clone()),
        };
        match result {
            Ok(output) if recalls => MemoryOutcome::Output(MemoryOutput {
                entries: fitting(output.entries),
                ..output
            }),
            Ok(output) => MemoryOutcome::Output(output),
            Err(error) => MemoryOutcome::Error(error),
        }
    }

    async fn outcome_of_memory(&self, id: String, op: MemoryOp, outcome: MemoryOutcome, ms: u64) -> Result<Outcome> {
        let ended = self.record_event(self.memory_finished(&id, op, outcome, ms)).await?;
        kill_point("agent.memory.recorded");
        self.close(&id);
        // As it was written: the model is told nothing that the journal may not have.
        let EventBody::MemoryFinished { outcome, .. } = &ended.body else {
            unreachable!("an event is of the kind that was appended");
        };
        Ok(self.remembered(op, outcome))
    }

    pub(super) fn memory_finished(&self, id: &str, op: MemoryOp, outcome: MemoryOutcome, ms: u64) -> EventBody {
        EventBody::MemoryFinished {
            effect: id.to_owned(),
            plugin: self
                .memory
                .as_ref()
                .map(|memory| memory.name.clone())
                .unwrap_or_default(),
            op,
            outcome,
            ms,
        }
    }

    /// Keeps what was recalled for the model calls that follow.
    pub(super) fn remembered(&self, op: MemoryOp, outcome: &MemoryOutcome) -> Outcome {
        if let (MemoryOp::Recall, MemoryOutcome::Output(output), Some(memory)) = (op, outcome, &self.memory) {
            *lock(&self.state.recalled) = shown(&memory.name, &output.entries);
        }
        Outcome::Remembered
    }
}

/// An operation of which a journal has the beginning, for who only has to end it.
pub(crate) fn begun(op: MemoryOp, input: &str) -> MemoryOperation {
    let input = input.to_owned();
    match op {
        MemoryOp::Recall => MemoryOperation::Recall { query: input },
        MemoryOp::Commit => MemoryOperation::Commit {
            request: input,
            reply: String::new(),
        },
        MemoryOp::Remember => MemoryOperation::Remember {
            entry: MemoryEntry {
                text: input,
                ..MemoryEntry::default()
            },
        },
        MemoryOp::Forget => MemoryOperation::Forget { id: input },
        MemoryOp::List => MemoryOperation::List {
            after: Some(input),
            limit: 0,
        },
    }
}

/// Whether it may be repeated where nobody knows how it ended. What can't even be asked does no harm.
fn is_idempotent(memory: &RunMemory, operation: &MemoryOperation) -> bool {
    match operation {
        MemoryOperation::Recall { .. } | MemoryOperation::List { .. } | MemoryOperation::Forget { .. } => true,
        MemoryOperation::Remember { entry } => !entry.id.is_empty(),
        MemoryOperation::Commit { .. } => memory.plugin.as_ref().is_ok_and(|plugin| plugin.commits_idempotently()),
    }
}

fn unknown(memory: &RunMemory, op: MemoryOp) -> Error {
    let (name, op) = (&memory.name, op.as_str());
    Error::new(
        ErrorKind::Internal,
        "outcome-unknown",
        format!("`{op}` of the memory `{name}` was cut off: it is not known whether it happened"),
    )
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_SAID_BYTES)].to_owned()
}
