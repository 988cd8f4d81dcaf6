//! Reading along: events in order and without a gap, each after its commit, and previews in between.

use std::collections::VecDeque;
use std::sync::Arc;

use sandbar_protocol::{Delta, Error, Event, Result, SessionId, StreamItem};

use crate::journal;
use crate::live::Live;
use crate::mailbox::{Item, Mailbox, Received};
use crate::previews::{Places, Wanted, begins_a_call};
use crate::readers::Readers;

/// How many events are read from the journal at a time.
const PAGE: usize = 64;

/// One reader of a session. Dropping it stops nothing but the reading.
#[derive(Debug)]
pub struct Subscription {
    session: SessionId,
    readers: Arc<Readers>,
    /// The sequence of the last event that was handed out.
    last: u64,
    /// The journal has the events up to this one; later ones come through the mailbox.
    journal_until: u64,
    page: VecDeque<Event>,
    /// What stopped the reading of the journal, told after the page.
    damage: Option<Error>,
    /// None where nobody writes the session in this process.
    writing: Option<Writing>,
    /// How far this reader is in what running calls write.
    places: Places,
    /// Calls may be running that it knows of and has no text of.
    may_be_new: bool,
    ended: bool,
}

/// The session's writer in this process, as its readers see it.
#[derive(Debug)]
struct Writing {
    live: Arc<Live>,
    mailbox: Arc<Mailbox>,
}

/// What came next.
enum Next {
    Received(Received),
    Delta(Delta),
}

impl Subscription {
    pub(crate) fn new(session: SessionId, readers: Arc<Readers>, after: u64, live: Option<&Arc<Live>>) -> Self {
        let (shown, mailbox) = live.map_or((None, None), |live| live.listen());
        let writing = live.cloned().zip(mailbox);
        Self {
            session,
            readers,
            last: after,
            journal_until: shown.unwrap_or(u64::MAX),
            page: VecDeque::new(),
            damage: None,
            may_be_new: writing.is_some(),
            writing: writing.map(|(live, mailbox)| Writing { live, mailbox }),
            places: Places::default(),
            ended: false,
        }
    }

    /// The next item; none when the session's writer is gone and everything was handed out, or after an error.
    ///
    /// A call that is running when the reading begins, or falls behind, is caught up with: what it has written so far comes in one
    /// preview, before later events. May be dropped while it waits, without a loss.
    pub async fn next(&mut self) -> Option<Result<StreamItem>> {
        while !self.ended {
            if let Some(delta) = self.new_text().or_else(|| self.rest_before_page()) {
                return Some(Ok(self.hand_out_text(delta)));
            }
            if let Some(event) = self.page.pop_front() {
                return Some(Ok(self.hand_out(Arc::new(event))));
            }
            if self.last < self.journal_until {
                if let Err(error) = self.catch_up() {
                    return self.fail(error);
                }
                continue;
            }
            match self.receive().await {
                Next::Delta(delta) => return Some(Ok(self.hand_out_text(delta))),
                Next::Received(Received::Item(Item::Event(event))) if event.sequence == self.last + 1 => {
                    return Some(Ok(self.hand_out(event)));
                }
                // One that the journal has given already, or that is before where this reader wants to begin.
                Next::Received(Received::Item(Item::Event(event))) if event.sequence <= self.last => {}
                Next::Received(Received::Item(Item::Event(event))) => self.journal_until = event.sequence,
                Next::Received(Received::Item(Item::Ended(call))) => {
                    if let Some(delta) = call.unread(self.last, &self.places) {
                        return Some(Ok(self.hand_out_text(delta)));
                    }
                }
                Next::Received(Received::Lagged) => self.lag(),
                Next::Received(Received::End(None)) => self.end(),
                Next::Received(Received::End(Some(error))) => return self.fail(error),
            }
        }
        None
    }

    /// Events come before text, so that a call that writes a great deal doesn't hold up the others.
    async fn receive(&self) -> Next {
        let Some(Writing { live, mailbox }) = &self.writing else {
            return Next::Received(Received::End(None));
        };
        loop {
            if let Some(received) = mailbox.take() {
                return Next::Received(received);
            }
            if let Some(delta) = live.unread(Wanted::Any, self.last, &self.places) {
                return Next::Delta(delta);
            }
            mailbox.changed().await;
        }
    }

    /// What calls have written that this reader has only now come to know of.
    fn new_text(&mut self) -> Option<Delta> {
        if !self.may_be_new {
            return None;
        }
        let live = &self.writing.as_ref()?.live;
        let text = live.unread(Wanted::New, self.last, &self.places);
        self.may_be_new = text.is_some();
        text
    }

    /// The rest of a call whose end this reader sees in the journal before it comes through the mailbox.
    fn rest_before_page(&self) -> Option<Delta> {
        let (event, writing) = (self.page.front()?, self.writing.as_ref()?);
        writing
            .live
            .unread(Wanted::EndedBy(event.sequence), self.last, &self.places)
    }

    fn hand_out(&mut self, event: Arc<Event>) -> StreamItem {
        self.last = event.sequence;
        self.places.pass(&event.body);
        self.may_be_new |= self.writing.is_some() && begins_a_call(&event.body);
        StreamItem::Event(event)
    }

    fn hand_out_text(&mut self, delta: Delta) -> StreamItem {
        self.places.advance(&delta);
        StreamItem::Delta(Arc::new(delta))
    }

    /// Reads one page; the journal has no more when it is empty.
    fn catch_up(&mut self) -> Result<()> {
        if let Some(damage) = self.damage.take() {
            return Err(damage);
        }
        let wanted = usize::try_from(self.journal_until - self.last)
            .unwrap_or(PAGE)
            .min(PAGE);
        let page = self
            .readers
            .read(|connection| journal::page(connection, &self.session, self.last, wanted))?;
        if page.events.is_empty() && page.damage.is_none() {
            self.journal_until = self.last;
        }
        self.page = page.events.into();
        self.damage = page.damage;
        Ok(())
    }

    /// What was lost is committed; what is shown from here on comes through the mailbox again.
    fn lag(&mut self) {
        if let Some(writing) = &self.writing {
            self.journal_until = writing.live.tip().head;
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.writing = None;
    }

    fn fail(&mut self, error: Error) -> Option<Result<StreamItem>> {
        self.end();
        Some(Err(error))
    }
}
