//! What waits for the writer, in the order in which it was asked for, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sandbar_protocol::{AuditEntry, DecidedBy, Event, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::writer_gone;
use crate::journal::Body;
use crate::live::Live;
use crate::lock;
use crate::sessions::NewSession;
use crate::workspaces::NewWorkspace;

/// The most that one transaction takes.
pub(crate) const MAX_BATCH: usize = 512;

/// How long the writer waits for company when nobody waits for it: a commit costs the same for one event as for many.
const LINGER: Duration = Duration::from_millis(1);

/// How many times the writer looks again by itself, a `LINGER` apart, before it sleeps until it is woken up: waking a thread costs
/// whoever appends more than the appending.
const LOOKS: u32 = 4;

/// What may wait before `append` does. An event larger than that waits alone.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Counted for each item beside its bytes.
const ITEM_BYTES: usize = 256;

/// The unit in which waiting bytes are counted.
const UNIT_BYTES: usize = 256;

pub(crate) type Reply = oneshot::Sender<Result<()>>;

#[derive(Debug)]
pub(crate) enum Command {
    Workspace {
        new: NewWorkspace,
        now_ms: u64,
        reply: Reply,
    },
    Session {
        new: NewSession,
        now_ms: u64,
        reply: Reply,
    },
    /// Takes the lease of a session, which is made first if it is new.
    Take {
        live: Arc<Live>,
        new: Option<Box<Beginning>>,
        reply: Option<Reply>,
    },
    Append {
        live: Arc<Live>,
        event: Arc<Event>,
        body: Body,
        /// Who decided on what the event begins.
        by: DecidedBy,
        room: OwnedSemaphorePermit,
    },
    /// An entry of the audit that follows from no event.
    Audit {
        at_ms: u64,
        entry: Box<AuditEntry>,
        /// None where there was no room: it is taken in all the same, and events wait.
        room: Option<OwnedSemaphorePermit>,
    },
    Flush {
        live: Arc<Live>,
        reply: Reply,
    },
    Release {
        live: Arc<Live>,
    },
    /// A change of a small table that belongs to no writer.
    Change {
        change: Change,
        now_ms: u64,
        reply: Reply,
    },
}

/// Gives what the audit has to know of it. May be tried twice: a transaction that fails is repeated in parts.
pub(crate) struct Change(pub(crate) Box<Changing>);

pub(crate) type Changing = dyn Fn(&Connection) -> Result<Vec<AuditEntry>> + Send;

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

/// A new session, with a new workspace if it gets one of its own.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) session: NewSession,
    pub(crate) workspace: Option<NewWorkspace>,
    pub(crate) now_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Command>,
    /// When the first of those that wait came.
    since: Option<Instant>,
    /// Somebody waits for an answer: no lingering.
    urgent: bool,
    /// The writer's thread sleeps, and won't look by itself.
    asleep: bool,
    closed: bool,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            room: Arc::new(Semaphore::new(MAX_WAITING_BYTES / UNIT_BYTES)),
        }
    }

    /// Fails only when the writer has stopped; the command is dropped then, and with it its reply.
    pub(crate) fn push(&self, command: Command) -> Result<()> {
        if self.put(command)? {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Like `push`, for a caller that has it written itself: the writer's thread is not woken up.
    pub(crate) fn push_quietly(&self, command: Command) -> Result<()> {
        self.put(command).map(|_| ())
    }

    /// Wakes the writer's thread up, with no lingering, if anything is there.
    pub(crate) fn hurry(&self) {
        let mut state = lock(&self.state);
        if !state.waiting.is_empty() {
            state.urgent = true;
            self.changed.notify_one();
        }
    }

    /// Waits until there is room for an item of that size.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.room);
        room.acquire_many_owned(units(bytes)).await.map_err(|_| writer_gone())
    }

    /// The same for who can't wait; none if there is no room.
    pub(crate) fn reserve_now(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_many_owned(units(bytes)).ok()
    }

    /// Waits until there is something to write, and a moment more for company; false when the queue is closed and empty.
    pub(crate) fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        let mut looks = 0;
        while !state.urgent && !state.closed && state.waiting.len() < MAX_BATCH {
            let pause = match state.since {
                Some(since) => LINGER.saturating_sub(since.elapsed()),
                None => LINGER,
            };
            if pause.is_zero() {
                break;
            }
            looks = if state.since.is_none() { looks + 1 } else { 0 };
            state = if looks > LOOKS {
                state.asleep = true;
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = self.changed.wait_timeout(state, pause);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
            state.asleep = false;
        }
        !state.waiting.is_empty()
    }

    /// What is there, up to the size of a batch.
    pub(crate) fn take(&self) -> Vec<Command> {
        let mut state = lock(&self.state);
        let count = state.waiting.len().min(MAX_BATCH);
        let batch = state.waiting.drain(..count).collect();
        // What is left has waited long enough.
        state.urgent = !state.waiting.is_empty();
        if !state.urgent {
            state.since = None;
        }
        batch
    }

    /// Nothing more is taken in; what is there is still handed out.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.room.close();
        self.changed.notify_all();
    }

    /// Drops what is there: nobody will hand it out any more.
    pub(crate) fn abandon(&self) {
        self.close();
        let dropped = std::mem::take(&mut lock(&self.state).waiting);
        drop(dropped);
    }
}

impl Command {
    fn is_awaited(&self) -> bool {
        match self {
            Self::Workspace { .. } | Self::Session { .. } | Self::Flush { .. } | Self::Change { .. } => true,
            Self::Take { reply, .. } => reply.is_some(),
            Self::Append { .. } | Self::Audit { .. } | Self::Release { .. } => false,
        }
    }
}

impl Queue {
    /// Whether the writer's thread should look.
    fn put(&self, command: Command) -> Result<bool> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(writer_gone());
        }
        let urgent = command.is_awaited();
        let wake = state.asleep || (urgent && !state.urgent) || state.waiting.len() + 1 >= MAX_BATCH;
        state.urgent |= urgent;
        state.since.get_or_insert_with(Instant::now);
        state.waiting.push_back(command);
        Ok(wake)
    }
}

fn units(bytes: usize) -> u32 {
    ((bytes + ITEM_BYTES) / UNIT_BYTES).min(MAX_WAITING_BYTES / UNIT_BYTES) as u32
}
