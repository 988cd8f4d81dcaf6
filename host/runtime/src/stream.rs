//! A run as its caller sees it.

use sandbar_agent::Cancel;
use sandbar_protocol::{Error, ErrorKind, EventBody, Result, RunId, RunResult, SessionId, StopReason, StreamItem};
use sandbar_store::Subscription;
use tokio::sync::oneshot;

/// Events of a run, each after its commit, and previews between them. Dropping it does not cancel the run.
#[derive(Debug)]
pub struct RunStream {
    pub(crate) session: SessionId,
    pub(crate) run: RunId,
    pub(crate) cancel: Cancel,
    pub(crate) subscription: Subscription,
    pub(crate) finished: Option<oneshot::Receiver<RunResult>>,
    pub(crate) ended: bool,
}

impl RunStream {
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Stops the run: guests and model calls end, what there is is journaled, the stream ends with `run.finished`.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The next item; none after `run.finished`. An error ends the stream: the journal could not be written or read.
    pub async fn next(&mut self) -> Option<Result<StreamItem>> {
        if self.ended {
            return None;
        }
        match self.subscription.next().await {
            Some(Ok(item)) => {
                if let StreamItem::Event(event) = &item
                    && let EventBody::RunFinished(_) = event.body
                    && event.run == self.run
                {
                    self.ended = true;
                    // The run lets go of its session before the caller can ask for the next turn.
                    if let Some(finished) = self.finished.take() {
                        let _ = finished.await;
                    }
                }
                Some(Ok(item))
            }
            Some(Err(error)) => {
                self.ended = true;
                Some(Err(self.failure().await.unwrap_or(error)))
            }
            None => {
                self.ended = true;
                Some(Err(self.failure().await.unwrap_or_else(lost)))
            }
        }
    }

    /// Waits for the end and gives the result, which also a run that failed has.
    pub async fn result(mut self) -> Result<RunResult> {
        while let Some(item) = self.next().await {
            if let StreamItem::Event(event) = item?
                && let EventBody::RunFinished(result) = &event.body
            {
                return Ok(result.clone());
            }
        }
        Err(lost())
    }

    /// Why the run ended without an event that says so.
    async fn failure(&mut self) -> Option<Error> {
        let result = self.finished.take()?.await.ok()?;
        result.error.filter(|_| result.stop_reason == StopReason::HostFailed)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "run-lost", "the run ended without saying how")
        .with_hint("`sandbar sessions show` has what was committed")
}
