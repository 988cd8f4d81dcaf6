//! A run as its caller sees it.

use sandbar_agent::Cancel;
use sandbar_protocol::{Error, ErrorKind, EventBody, Result, RunId, RunResult, SessionId, StopReason, StreamItem};
use sandbar_store::Subscription;
use tokio::sync::oneshot;

/// Events of a run, each after its commit, and previews between them. Dropping it does not cancel the run.
///
/// It ends after `run.finished`, or after `suspended` where nobody is there to answer; [`result`](Self::result) says which. A session
/// whose last run was cut off goes on with that one first: its events come before.
#[derive(Debug)]
pub struct RunStream {
    pub(crate) session: SessionId,
    pub(crate) run: RunId,
    pub(crate) cancel: Cancel,
    pub(crate) subscription: Subscription,
    pub(crate) finished: Option<oneshot::Receiver<RunResult>>,
    /// What `finished` gave.
    pub(crate) result: Option<RunResult>,
    pub(crate) ended: bool,
    /// `run.finished`, until it is handed out.
    pub(crate) last: Option<StreamItem>,
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

    /// The next item; none after `run.finished`, and where the run waits. An error ends the stream: the journal could not be written or read.
    ///
    /// May be dropped while it waits, without a loss.
    pub async fn next(&mut self) -> Option<Result<StreamItem>> {
        if self.last.is_some() {
            return self.hand_out_last().await;
        }
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
                    self.last = Some(item);
                    return self.hand_out_last().await;
                }
                Some(Ok(item))
            }
            Some(Err(error)) => {
                self.ended = true;
                Some(Err(self.failure().await.unwrap_or(error)))
            }
            None => {
                self.ended = true;
                match self.failure().await {
                    Some(error) => Some(Err(error)),
                    None if self.waits() => None,
                    None => Some(Err(lost())),
                }
            }
        }
    }

    /// Whoever has seen the end may start the next run of the session: so the run must have let go of it.
    async fn hand_out_last(&mut self) -> Option<Result<StreamItem>> {
        if let Some(finished) = &mut self.finished {
            // An error means that it has ended all the same.
            self.result = finished.await.ok();
            self.finished = None;
        }
        self.last.take().map(Ok)
    }

    /// Waits for the end and gives the result, which also a run that failed has. By then its events are committed; none is waited for, so
    /// that who wants the result alone isn't woken for each of them.
    pub async fn result(mut self) -> Result<RunResult> {
        let result = match (self.result.take(), self.finished.take()) {
            (Some(result), _) => result,
            (None, Some(finished)) => finished.await.map_err(|_| lost())?,
            (None, None) => return Err(lost()),
        };
        match result.error {
            Some(error) if result.stop_reason == StopReason::HostFailed => Err(error),
            error => Ok(RunResult { error, ..result }),
        }
    }

    /// Why the run ended without an event that says so.
    async fn failure(&mut self) -> Option<Error> {
        self.result = self.finished.take()?.await.ok();
        let result = self.result.as_ref()?;
        let failed = result.stop_reason == StopReason::HostFailed;
        result.error.clone().filter(|_| failed)
    }

    fn waits(&self) -> bool {
        let result = self.result.as_ref();
        result.is_some_and(|result| result.stop_reason == StopReason::Suspended)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "run-lost", "the run ended without saying how")
        .with_hint("`sandbar sessions show` has what was committed")
}
