//! The one thread that writes: it takes what is there, commits it in one transaction, and only then shows it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, TransactionBehavior};
use sandbar_protocol::{Error, Result};

use crate::error::{Doing as _, session_not_found, writer_gone};
use crate::live::{Live, LiveSessions, Tip};
use crate::process::Process;
use crate::queue::{Beginning, Command, Queue, Reply};
use crate::{journal, leases, lock, sessions, workspaces};

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) connection: Arc<Mutex<Connection>>,
    pub(crate) queue: Queue,
    pub(crate) live: LiveSessions,
    pub(crate) process: Process,
    pub(crate) commits: AtomicU64,
    /// Held from the taking of a batch until it is shown, so that batches stay in their order.
    pub(crate) writing: Mutex<()>,
}

/// Where the sessions of a transaction stand before it is committed, by the address of their `Live`.
type Tips = HashMap<usize, Pending>;

struct Pending {
    live: Arc<Live>,
    tip: Tip,
    /// The time of the last event that this transaction adds.
    appended_ms: Option<u64>,
    poisoned: bool,
}

impl Writer {
    /// Writes whatever comes, until the queue is closed and empty.
    pub(crate) fn run(&self) {
        // However this ends, nobody waits for ever.
        let _abandon = AbandonOnDrop(self);
        while self.queue.wait() {
            let _writing = lock(&self.writing);
            self.write(self.queue.take());
        }
    }

    /// Writes on the caller's thread what is there now, unless a batch is being written. In memory that is much cheaper than
    /// waking up another thread and being woken up by it; with a disk it would block the caller.
    pub(crate) fn assist(&self) {
        if let Ok(_writing) = self.writing.try_lock() {
            self.write(self.queue.take());
        }
        // What another thread writes, or was too much for one batch, is the writer's own.
        self.queue.hurry();
    }

    fn write(&self, batch: Vec<Command>) {
        match self.commit(&batch) {
            Ok(tips) => self.show(batch, Ok(tips)),
            Err(error) => {
                let mut parts = split(batch);
                if parts.len() == 1 {
                    self.show(parts.remove(0), Err(error));
                    return;
                }
                // One session's failure is its own: each gets a transaction to itself.
                for part in parts {
                    let outcome = self.commit(&part);
                    self.show(part, outcome);
                }
            }
        }
    }

    /// All of it, or nothing.
    fn commit(&self, commands: &[Command]) -> Result<Tips> {
        let mut tips = Tips::new();
        let writes = |command: &Command| !matches!(command, Command::Preview { .. } | Command::Flush { .. });
        if !commands.iter().any(writes) {
            return Ok(tips);
        }
        let mut connection = lock(&self.connection);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("begin to write to the journal")?;
        for command in commands {
            self.apply(&transaction, command, &mut tips)?;
        }
        for pending in tips.values() {
            if let Some(at_ms) = pending.appended_ms {
                sessions::advance(&transaction, &pending.live.session, pending.tip.head, at_ms)?;
            }
        }
        transaction.commit().doing("commit to the journal")?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(tips)
    }

    fn apply(&self, connection: &Connection, command: &Command, tips: &mut Tips) -> Result<()> {
        match command {
            Command::Workspace { new, now_ms, .. } => workspaces::insert(connection, new, *now_ms),
            Command::Session { new, now_ms, .. } => sessions::insert(connection, new, *now_ms),
            Command::Take { live, new, .. } => self.take(connection, live, new.as_deref(), tips),
            Command::Append { live, event, body, .. } => {
                let pending = self.pending(connection, live, tips)?;
                if pending.poisoned {
                    return Ok(());
                }
                pending.tip.checksum = journal::append(connection, event, body, &pending.tip.checksum)?;
                pending.tip.head = event.sequence;
                pending.appended_ms = Some(event.at_ms);
                Ok(())
            }
            Command::Release { live } => {
                let fence = tips
                    .get(&key(live))
                    .map_or_else(|| live.tip().fence, |pending| pending.tip.fence);
                leases::release(connection, &live.session, &self.process, fence)
            }
            Command::Preview { .. } | Command::Flush { .. } => Ok(()),
        }
    }

    fn take(&self, connection: &Connection, live: &Arc<Live>, new: Option<&Beginning>, tips: &mut Tips) -> Result<()> {
        if let Some(new) = new {
            if let Some(workspace) = &new.workspace {
                workspaces::insert(connection, workspace, new.now_ms)?;
            }
            sessions::insert(connection, &new.session, new.now_ms)?;
        }
        let head = sessions::head(connection, &live.session)?.ok_or_else(|| session_not_found(&live.session))?;
        let tip = Tip {
            fence: leases::take(connection, &live.session, &self.process)?,
            head,
            checksum: journal::tip(connection, &live.session, head)?,
        };
        tips.insert(
            key(live),
            Pending {
                live: Arc::clone(live),
                tip,
                appended_ms: None,
                poisoned: false,
            },
        );
        Ok(())
    }

    /// Where the session stands in this transaction; the first look checks the lease.
    fn pending<'a>(&self, connection: &Connection, live: &Arc<Live>, tips: &'a mut Tips) -> Result<&'a mut Pending> {
        match tips.entry(key(live)) {
            Entry::Occupied(pending) => Ok(pending.into_mut()),
            Entry::Vacant(place) => {
                let (tip, poisoned) = (live.tip(), live.failure().is_some());
                if !poisoned {
                    leases::check(connection, &live.session, &self.process, tip.fence)?;
                }
                Ok(place.insert(Pending {
                    live: Arc::clone(live),
                    tip,
                    appended_ms: None,
                    poisoned,
                }))
            }
        }
    }

    /// Tells readers and waiters what became of a transaction.
    fn show(&self, commands: Vec<Command>, outcome: Result<Tips>) {
        let error = match outcome {
            Ok(tips) => {
                for pending in tips.into_values().filter(|pending| !pending.poisoned) {
                    pending.live.committed(pending.tip);
                }
                None
            }
            Err(error) => Some(error),
        };
        for command in commands {
            self.show_one(command, error.as_ref());
        }
    }

    fn show_one(&self, command: Command, error: Option<&Error>) {
        match command {
            Command::Workspace { reply, .. } | Command::Session { reply, .. } => answer(reply, error.cloned()),
            Command::Take { live, reply, .. } => {
                if let Some(error) = error {
                    live.fail(error);
                    self.forget(&live);
                }
                if let Some(reply) = reply {
                    answer(reply, error.cloned());
                }
            }
            Command::Append { live, event, room, .. } => {
                if let Some(error) = error {
                    live.fail(error);
                }
                live.show_event(&event);
                drop(room);
            }
            Command::Preview {
                live,
                after,
                delta,
                room,
            } => {
                live.show_preview(after, &delta);
                drop(room);
            }
            Command::Flush { live, reply } => answer(reply, live.failure()),
            Command::Release { live } => {
                if let Some(error) = error {
                    // The lease stays ours until this process ends; it can be taken again from here.
                    tracing::warn!(session = %live.session, %error, "the lease could not be released");
                }
                live.finish();
                self.forget(&live);
            }
        }
    }

    /// Unless the session has been opened again since.
    fn forget(&self, live: &Arc<Live>) {
        let mut sessions = lock(&self.live);
        if sessions
            .get(&live.session)
            .is_some_and(|found| Arc::ptr_eq(found, live))
        {
            sessions.remove(&live.session);
        }
    }
}

struct AbandonOnDrop<'a>(&'a Writer);

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.queue.abandon();
        // After an orderly end there are none.
        for live in lock(&self.0.live).values() {
            live.fail(&writer_gone());
        }
    }
}

fn answer(reply: Reply, error: Option<Error>) {
    // Whoever asked may have gone away; the work is done all the same.
    let _ = reply.send(error.map_or(Ok(()), Err));
}

fn key(live: &Arc<Live>) -> usize {
    Arc::as_ptr(live).addr()
}

/// The commands of each session in their order; every other command, and each release, by itself.
fn split(batch: Vec<Command>) -> Vec<Vec<Command>> {
    let mut parts: Vec<Vec<Command>> = Vec::new();
    let mut part_of: HashMap<usize, usize> = HashMap::new();
    for command in batch {
        let session = match &command {
            Command::Workspace { .. } | Command::Session { .. } | Command::Release { .. } => None,
            Command::Take { live, .. }
            | Command::Append { live, .. }
            | Command::Preview { live, .. }
            | Command::Flush { live, .. } => Some(key(live)),
        };
        let part = session.map_or(parts.len(), |session| *part_of.entry(session).or_insert(parts.len()));
        if part == parts.len() {
            parts.push(Vec::new());
        }
        parts[part].push(command);
    }
    parts
}
