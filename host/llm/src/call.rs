//! One call of a provider, as a stream: attempts until one begins to answer, and then its answer.
//!
//! Another attempt is made only while nothing has been shown: what a reader has seen can't be taken back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use reqwest::Response;
use sandbar_protocol::{ModelPart, ModelReply, ModelStream, Result};
use tokio::time::Instant;

use crate::chat_fold::ChatFold;
use crate::failure::Failure;
use crate::frames::{Frame, Frames};
use crate::http::Http;
use crate::limits::{MAX_BACKOFF, MAX_SILENCE, MAX_STREAM_BYTES};
use crate::sse::TooLong;

/// How attempts are made.
#[derive(Clone)]
pub(crate) struct Attempts {
    pub(crate) max_retries: u32,
    /// The longest time without a byte.
    pub(crate) idle: Duration,
    /// The wait after the first attempt.
    pub(crate) backoff: Duration,
    pub(crate) entropy: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl std::fmt::Debug for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempts")
            .field("max_retries", &self.max_retries)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

/// The whole call. Dropping the stream drops the connection.
pub(crate) fn stream(http: Arc<Http>, attempts: Attempts, path: &'static str, body: Bytes) -> ModelStream {
    let call = Call {
        http,
        attempts,
        path,
        body,
        made: 0,
        answer: None,
        ready: VecDeque::new(),
        shown: false,
        pause: None,
    };
    stream::unfold(Some(Box::new(call)), |call| async {
        let mut call = call?;
        let item = call.next().await;
        let over = matches!(item, Err(_) | Ok(ModelPart::Finished(_)));
        Some((item, (!over).then_some(call)))
    })
    .boxed()
}

struct Call {
    http: Arc<Http>,
    attempts: Attempts,
    path: &'static str,
    body: Bytes,
    made: u32,
    answer: Option<Answer>,
    ready: VecDeque<ModelPart>,
    shown: bool,
    /// What is waited for before the next attempt.
    pause: Option<Duration>,
}

impl Call {
    async fn next(&mut self) -> Result<ModelPart> {
        if let Some(wait) = self.pause.take() {
            tokio::time::sleep(wait).await;
        }
        loop {
            if let Some(part) = self.ready.pop_front() {
                self.shown = true;
                return Ok(part);
            }
            match self.advance().await {
                Ok(None) => {}
                Ok(Some(reply)) => return Ok(ModelPart::Finished(Box::new(reply))),
                Err(failure) => return self.again(failure),
            }
        }
    }

    /// One step: begins an attempt, or reads on in its answer.
    async fn advance(&mut self) -> Result<Option<ModelReply>, Failure> {
        let answer = match &mut self.answer {
            Some(answer) => answer,
            None => {
                self.made += 1;
                let response = self.http.post(self.path, self.body.clone(), self.attempts.idle).await?;
                self.answer
                    .insert(Answer::new(response, &self.http, self.attempts.idle))
            }
        };
        if !answer.over {
            answer.over = !answer.read(&mut self.ready).await?;
            return Ok(None);
        }
        self.answer.take().map(|answer| answer.fold.finish()).transpose()
    }

    /// Says that another attempt follows, or gives up.
    fn again(&mut self, failure: Failure) -> Result<ModelPart> {
        self.answer = None;
        if self.shown || !failure.again || self.made > self.attempts.max_retries {
            let made = self.made;
            return Err(if made > 1 {
                failure.error.told(|text| format!("{text} ({made} attempts)"))
            } else {
                failure.error
            });
        }
        let wait = failure
            .wait
            .unwrap_or_else(|| backoff(self.attempts.backoff, self.made, (self.attempts.entropy)()));
        self.pause = Some(wait);
        Ok(ModelPart::Retrying {
            request: self.made,
            error: failure.error,
            wait_ms: wait.as_millis() as u64,
        })
    }
}

/// The wait after so many attempts: doubled each time, and spread over its upper half so that callers don't come back together.
fn backoff(first: Duration, made: u32, entropy: u64) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(made.saturating_sub(1)).unwrap_or(u32::MAX));
    let full = doubled.min(MAX_BACKOFF);
    full / 2 + (full / 2).mul_f64(entropy as f64 / u64::MAX as f64)
}

/// The answer of an attempt that was accepted.
struct Answer {
    http: Arc<Http>,
    response: Response,
    frames: Frames,
    fold: ChatFold,
    idle: Duration,
    /// When something was last said: signs of life alone don't count.
    said_at: Instant,
    bytes: usize,
    /// Nothing more will be read.
    over: bool,
}

impl Answer {
    fn new(response: Response, http: &Arc<Http>, idle: Duration) -> Self {
        Self {
            http: http.clone(),
            response,
            frames: Frames::new(),
            fold: ChatFold::new(http.target.clone()),
            idle,
            said_at: Instant::now(),
            bytes: 0,
            over: false,
        }
    }

    /// Reads once; false if the answer is over.
    async fn read(&mut self, ready: &mut VecDeque<ModelPart>) -> Result<bool, Failure> {
        let silence = MAX_SILENCE.max(self.idle);
        let (idle_at, silent_at) = (Instant::now() + self.idle, self.said_at + silence);
        let (deadline, waited) = if idle_at < silent_at {
            (idle_at, self.idle)
        } else {
            (silent_at, silence)
        };
        let target = self.http.target.clone();
        let bytes = match tokio::time::timeout_at(deadline, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return self.end(ready),
            // What came is whole; only the close of the connection went wrong.
            Ok(Err(_)) | Err(_) if self.fold.has_ended() => return Ok(false),
            Ok(Err(error)) => return Err(Failure::passing(target.cut_off().with_source(error.without_url()))),
            Err(_) => return Err(Failure::lasting(target.stalled(waited))),
        };
        self.bytes += bytes.len();
        let pushed = self.frames.push(&bytes);
        if pushed == Err(TooLong) || self.bytes > MAX_STREAM_BYTES {
            return Err(Failure::lasting(target.too_large()));
        }
        while let Some(frame) = self.frames.next() {
            self.hear(&frame, ready)?;
        }
        Ok(!self.fold.is_done())
    }

    /// The body is over: what was left open in it counts.
    fn end(&mut self, ready: &mut VecDeque<ModelPart>) -> Result<bool, Failure> {
        let target = self.http.target.clone();
        self.frames
            .finish()
            .map_err(|TooLong| Failure::lasting(target.too_large()))?;
        while let Some(frame) = self.frames.next().or_else(|| self.frames.take_document()) {
            self.hear(&frame, ready)?;
        }
        if self.fold.bytes() > 0 || self.fold.has_ended() {
            return Ok(false);
        }
        let (head, whole) = self.frames.head();
        let head = String::from_utf8_lossy(if whole { head } else { target.beginning(head) });
        if !head.trim().is_empty() && !is_stream(&head) {
            return Err(Failure::lasting(target.garbled(&head)));
        }
        Ok(false)
    }

    fn hear(&mut self, frame: &Frame, ready: &mut VecDeque<ModelPart>) -> Result<(), Failure> {
        let said = self.fold.bytes();
        let parts = self.fold.push(frame)?;
        if self.fold.bytes() > said {
            self.said_at = Instant::now();
        }
        ready.extend(parts);
        Ok(())
    }
}

/// Whether a body without an answer was at least meant as a stream, so that it was cut off rather than something else altogether.
fn is_stream(head: &str) -> bool {
    head.lines()
        .any(|line| line.starts_with("data:") || line.starts_with("event:") || line.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FIRST_BACKOFF;

    #[test]
    fn waits_double_and_are_spread() {
        for (made, entropy, expected) in [
            (1, 0, 250),
            (1, u64::MAX, 500),
            (2, 0, 500),
            (3, u64::MAX / 2, 1500),
            (7, u64::MAX, 30_000),
            (40, 0, 15_000),
        ] {
            assert_eq!(
                backoff(FIRST_BACKOFF, made, entropy).as_millis(),
                expected,
                "attempt {made}"
            );
        }
    }
}
