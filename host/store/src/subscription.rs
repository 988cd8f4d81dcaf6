//! Reading along: events in order and without a gap, each after its commit, and previews in between.

use std::collections::VecDeque;
use std::sync::Arc;

use sandbar_protocol::{Error, Result, SessionId, StreamItem};

use crate::journal;
use crate::mailbox::{Item, Mailbox, Received};
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
    /// Events may be in the journal that won't come through the mailbox.
    behind: bool,
    page: VecDeque<sandbar_protocol::Event>,
    /// What stopped the reading of the journal, told after the page.
    damage: Option<Error>,
    /// None where nobody writes the session in this process.
    mailbox: Option<Arc<Mailbox>>,
    ended: bool,
}

impl Subscription {
    /// `shown` is the last event before those that the mailbox gets.
    pub(crate) fn new(
        session: SessionId,
        readers: Arc<Readers>,
        after: u64,
        shown: Option<u64>,
        mailbox: Option<Arc<Mailbox>>,
    ) -> Self {
        Self {
            session,
            readers,
            last: after,
            behind: shown.is_none_or(|shown| after < shown),
            page: VecDeque::new(),
            damage: None,
            mailbox,
            ended: false,
        }
    }

    /// The next item; none when the session's writer is gone and everything was handed out, or after an error.
    ///
    /// May be dropped while it waits, without a loss.
    pub async fn next(&mut self) -> Option<Result<StreamItem>> {
        while !self.ended {
            if let Some(event) = self.page.pop_front() {
                self.last = event.sequence;
                return Some(Ok(StreamItem::Event(Arc::new(event))));
            }
            if self.behind {
                if let Err(error) = self.catch_up() {
                    return self.fail(error);
                }
                continue;
            }
            let received = match &self.mailbox {
                Some(mailbox) => mailbox.receive().await,
                None => Received::End(None),
            };
            match received {
                Received::Item(Item::Event(event)) if event.sequence == self.last + 1 => {
                    self.last = event.sequence;
                    return Some(Ok(StreamItem::Event(event)));
                }
                // One that the journal has given already, or that is before where this reader wants to begin.
                Received::Item(Item::Event(event)) if event.sequence <= self.last => {}
                Received::Item(Item::Event(_)) | Received::Lagged => self.behind = true,
                // A preview belongs right after its event: later it would show what is over.
                Received::Item(Item::Delta(after, delta)) if after == self.last => {
                    return Some(Ok(StreamItem::Delta(delta)));
                }
                Received::Item(Item::Delta(..)) => {}
                Received::End(None) => self.ended = true,
                Received::End(Some(error)) => return self.fail(error),
            }
        }
        None
    }

    /// Reads one page; the journal has no more when it is empty.
    fn catch_up(&mut self) -> Result<()> {
        if let Some(damage) = self.damage.take() {
            return Err(damage);
        }
        let page = self
            .readers
            .read(|connection| journal::page(connection, &self.session, self.last, PAGE))?;
        self.behind = page.damage.is_some() || !page.events.is_empty();
        self.page = page.events.into();
        self.damage = page.damage;
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Option<Result<StreamItem>> {
        self.ended = true;
        Some(Err(error))
    }
}
