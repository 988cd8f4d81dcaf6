//! Following a session that another process writes: its events as they are committed, without previews.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sandbar_protocol::{Event, Result, SessionId};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::store::Store;

/// How often the journal is looked at: a person doesn't notice the wait, and a look costs microseconds.
const PERIOD: Duration = Duration::from_millis(100);

/// How many events are read from the journal at a time.
const PAGE: usize = 64;

/// A reader of a session that anybody writes, or nobody. Dropping it stops nothing but the reading.
#[derive(Debug)]
pub struct Follow {
    store: Store,
    session: SessionId,
    /// The sequence of the last event that was read.
    last: u64,
    page: VecDeque<Event>,
    looks: Option<Interval>,
    ended: bool,
}

impl Follow {
    pub(crate) fn new(store: Store, session: SessionId, after: u64) -> Self {
        Self {
            store,
            session,
            last: after,
            page: VecDeque::new(),
            looks: None,
            ended: false,
        }
    }

    /// The next event; none when everything was handed out and no run goes on: it has ended, waits for an answer, or its process
    /// died. An error is the last thing that comes.
    ///
    /// May be dropped while it waits, without a loss.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>>> {
        loop {
            if let Some(event) = self.page.pop_front() {
                return Some(Ok(Arc::new(event)));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.look() {
                self.ended = true;
                return Some(Err(error));
            }
            if self.page.is_empty() && !self.ended {
                self.wait().await;
            }
        }
    }

    fn look(&mut self) -> Result<()> {
        // In this order: what was committed before somebody let go of the session is read after that was seen.
        let goes_on =
            self.store.holder(&self.session)?.is_some() && self.store.unfinished_run(&self.session)?.is_some();
        self.page = self.store.events(&self.session, self.last, PAGE)?.into();
        match self.page.back() {
            Some(newest) => self.last = newest.sequence,
            None => self.ended = !goes_on,
        }
        Ok(())
    }

    async fn wait(&mut self) {
        let looks = self.looks.get_or_insert_with(|| {
            let mut looks = interval_at(Instant::now() + PERIOD, PERIOD);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            looks
        });
        looks.tick().await;
    }
}
