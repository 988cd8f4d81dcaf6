//! *Start here, move when it overstays*: a guest call as a future.
//!
//! It is polled on the caller's runtime and stays there while it waits. When the epoch callback finds that it had its slice, it moves
//! to the lane. Dropping it ends the guest.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use sandbar_protocol::{Error, ErrorKind, Result};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use crate::crowd::Waiting;
use crate::error::internal;
use crate::host::Host;
use crate::lane::Moved;
use crate::limits::WALL_GRACE;
use crate::meter::Meter;

pub(crate) struct GuestCall<T: Send + 'static> {
    host: Arc<Host>,
    plugin: Arc<str>,
    session: Arc<str>,
    meter: Arc<Meter>,
    place: Place<T>,
    /// For waits in host calls, where no epoch callback comes.
    deadline: Pin<Box<Sleep>>,
    /// Whether it has had a slice here.
    has_begun: bool,
    waiting_for_slice: Option<(BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>, Waiting)>,
}

enum Place<T> {
    Here(BoxFuture<'static, Result<T>>),
    Lane(Moved<Result<T>>),
    Over,
}

impl<T: Send + 'static> GuestCall<T> {
    pub(crate) fn new(
        host: Arc<Host>,
        plugin: Arc<str>,
        session: Arc<str>,
        meter: Arc<Meter>,
        start_in_lane: bool,
        future: BoxFuture<'static, Result<T>>,
    ) -> Self {
        let deadline = Box::pin(sleep(meter.limits().wall + WALL_GRACE));
        let place = if start_in_lane {
            Place::Lane(host.lane.take(&session, meter.clone(), true, future))
        } else {
            Place::Here(future)
        };
        Self {
            host,
            plugin,
            session,
            meter,
            place,
            deadline,
            has_begun: false,
            waiting_for_slice: None,
        }
    }

    /// One slice on the caller's thread. Only a few run at once, so that the host's other tasks keep a processor.
    fn poll_here(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        let _permit = ready!(self.poll_slice(context));
        self.has_begun = true;
        let Place::Here(future) = &mut self.place else {
            unreachable!("only called in that place")
        };
        let active = self.host.ticker.enter();
        self.meter.begin_slice();
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        self.meter.end_slice();
        drop(active);
        match polled {
            Ok(polled) => polled,
            Err(_) => Poll::Ready(Err(internal("the host panicked in a plugin's call"))),
        }
    }

    fn move_to_lane(&mut self) {
        self.waiting_for_slice = None;
        if let Place::Here(future) = std::mem::replace(&mut self.place, Place::Over) {
            self.place = Place::Lane(self.host.lane.take(&self.session, self.meter.clone(), false, future));
        }
    }

    /// Ends the call. What it holds is let go of in the lane.
    fn give_up(&mut self) {
        self.waiting_for_slice = None;
        // Dropping what the lane has is enough: it does the same.
        if let Place::Here(future) = std::mem::replace(&mut self.place, Place::Over) {
            self.host.lane.clear_away(Box::new(future));
        }
    }

    fn poll_slice(&mut self, context: &mut Context<'_>) -> Poll<Option<OwnedSemaphorePermit>> {
        if self.waiting_for_slice.is_none() {
            if let Ok(permit) = self.host.slices.clone().try_acquire_owned() {
                return Poll::Ready(Some(permit));
            }
            let permit = Semaphore::acquire_owned(self.host.slices.clone()).boxed();
            self.waiting_for_slice = Some((permit, self.host.crowd.wait()));
        }
        let (waiting, _) = self.waiting_for_slice.as_mut().expect("set above");
        // The semaphore is never closed; if it were, running without a permit is right.
        let permit = ready!(waiting.as_mut().poll(context)).ok();
        self.waiting_for_slice = None;
        Poll::Ready(permit)
    }
}

impl<T: Send + 'static> Drop for GuestCall<T> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl<T: Send + 'static> Future for GuestCall<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let polled = match &mut this.place {
                // It has had no slice yet, and would be one of many to have theirs here.
                Place::Here(_) if !this.has_begun && this.host.crowd.is_there() => {
                    this.move_to_lane();
                    continue;
                }
                Place::Here(_) => {
                    let polled = this.poll_here(context);
                    if polled.is_pending() && this.meter.has_overstayed() {
                        this.host.crowd.note_overstay();
                        this.move_to_lane();
                        continue;
                    }
                    polled
                }
                Place::Lane(moved) => match ready_or_pending(Pin::new(moved), context) {
                    Poll::Ready(Some(result)) => Poll::Ready(result),
                    Poll::Ready(None) => Poll::Ready(Err(Error::new(
                        ErrorKind::Cancelled,
                        "shut-down",
                        "the plugin host was shut down during the call",
                    ))),
                    Poll::Pending => Poll::Pending,
                },
                Place::Over => unreachable!("a finished call is not polled again"),
            };
            if polled.is_ready() {
                // A finished future holds nothing.
                this.place = Place::Over;
                return polled;
            }
            ready!(this.deadline.as_mut().poll(context));
            // Dropping the call is what stops it; the error is the one that the callback would have given.
            this.give_up();
            let error = this.meter.wall_exceeded();
            return Poll::Ready(Err(error.told(|message| format!("`{}` was {message}", this.plugin))));
        }
    }
}

fn ready_or_pending<T>(moved: Pin<&mut Moved<T>>, context: &mut Context<'_>) -> Poll<Option<T>> {
    moved.poll(context)
}

impl<T: Send + 'static> std::fmt::Debug for GuestCall<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestCall")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
