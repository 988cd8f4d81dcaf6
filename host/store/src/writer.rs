//! The one thread that writes: it takes what is there, commits it in one transaction, and only then shows it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use sandbar_protocol::{Error, EventBody, Result, kill_point};
use tokio::sync::oneshot;

use crate::audit::{self, AuditRows};
use crate::effects::EffectRows;
use crate::error::{Doing as _, session_not_found, writer_gone};
use crate::live::{Live, LiveSessions, Tip};
use crate::process::Process;
use crate::queue::{Beginning, Command, Queue, Reply};
use crate::{event_row, journal, leases, lock, sessions, workspaces};

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
    /// What a session without a name is to be called.
    title: Option<String>,
    poisoned: bool,
}

impl Pending {
    fn at(live: &Arc<Live>, tip: Tip, poisoned: bool) -> Self {
        Self {
            live: Arc::clone(live),
            tip,
            appended_ms: None,
            title: None,
            poisoned,
        }
    }
}

/// What a transaction writes beside the events, because of them.
#[derive(Default)]
struct Derived<'a> {
    effects: EffectRows<'a>,
    audit: AuditRows,
}

/// Rolled back unless it is committed. Its two statements are prepared once, unlike those of the driver's own.
struct Transaction<'a> {
    connection: &'a Connection,
    open: bool,
}

impl<'a> Transaction<'a> {
    fn begin(connection: &'a Connection) -> Result<Self> {
        execute(connection, "BEGIN IMMEDIATE").doing("begin to write to the journal")?;
        Ok(Self { connection, open: true })
    }

    fn commit(mut self) -> Result<()> {
        execute(self.connection, "COMMIT").doing("commit to the journal")?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Some errors have rolled it back already.
        if self.open && !self.connection.is_autocommit() {
            // If this fails, so does the next transaction, which says so to those who wait for it.
            let _ = execute(self.connection, "ROLLBACK");
        }
    }
}

fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<usize> {
    connection.prepare_cached(statement)?.execute([])
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

    /// Does something, and gives the answer when it is done.
    pub(crate) async fn ask(&self, on_disk: bool, command: impl FnOnce(Reply) -> Command) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        if on_disk {
            self.queue.push(command(reply))?;
        } else {
            self.queue.push_quietly(command(reply))?;
            self.assist();
        }
        answer.await.unwrap_or_else(|_| Err(writer_gone()))
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
        let writes = |command: &Command| !matches!(command, Command::Flush { .. });
        if !commands.iter().any(writes) {
            return Ok(tips);
        }
        let connection = lock(&self.connection);
        kill_point("store.batch.taken");
        let transaction = Transaction::begin(&connection)?;
        kill_point("store.begin.done");
        let mut derived = Derived::default();
        for command in commands {
            self.apply(&connection, command, &mut tips, &mut derived)?;
        }
        derived.effects.write(&connection)?;
        for pending in tips.values() {
            if let Some(at_ms) = pending.appended_ms {
                let title = pending.title.as_deref();
                sessions::advance(&connection, &pending.live.session, pending.tip.head, at_ms, title)?;
            }
        }
        kill_point("store.commit.begins");
        transaction.commit()?;
        kill_point("store.commit.done");
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(tips)
    }

    fn apply<'a>(
        &self,
        connection: &Connection,
        command: &'a Command,
        tips: &mut Tips,
        derived: &mut Derived<'a>,
    ) -> Result<()> {
        match command {
            Command::Workspace { new, now_ms, .. } => workspaces::insert(connection, new, *now_ms),
            Command::Session { new, now_ms, .. } => sessions::insert(connection, new, *now_ms),
            Command::Take { live, new, .. } => self.take(connection, live, new.as_deref(), tips),
            Command::Append {
                live, event, body, by, ..
            } => {
                let pending = self.pending(connection, live, tips)?;
                if pending.poisoned {
                    return Ok(());
                }
                pending.tip.checksum =
                    journal::append(connection, event, body, &pending.tip.checksum, &mut derived.effects)?;
                derived.audit.derive(connection, event, by)?;
                pending.tip.head = event.sequence;
                pending.appended_ms = Some(event.at_ms);
                if let EventBody::RunStarted { message, .. } = &event.body {
                    // The first message names the session, if it has no name.
                    let title = pending.title.get_or_insert_default();
                    if title.is_empty() {
                        *title = sessions::title(message);
                    }
                }
                Ok(())
            }
            Command::Release { live } => {
                let fence = tips
                    .get(&key(live))
                    .map_or_else(|| live.tip().fence, |pending| pending.tip.fence);
                leases::release(connection, &live.session, &self.process, fence)
            }
            Command::Audit { at_ms, entry, .. } => derived.audit.append(connection, *at_ms, (**entry).clone()),
            Command::Change { change, now_ms, .. } => {
                // It may look at what came before it.
                derived.effects.write(connection)?;
                let mut entries = (change.0)(connection)?.into_iter();
                entries.try_for_each(|entry| derived.audit.append(connection, *now_ms, entry))
            }
            Command::Flush { .. } => Ok(()),
        }
    }

    fn take(&self, connection: &Connection, live: &Arc<Live>, new: Option<&Beginning>, tips: &mut Tips) -> Result<()> {
        let tip = match new {
            Some(new) => self.begin(connection, live, new)?,
            None => {
                let head =
                    sessions::head(connection, &live.session)?.ok_or_else(|| session_not_found(&live.session))?;
                Tip {
                    fence: leases::take(connection, &live.session, &self.process)?,
                    head,
                    checksum: journal::tip(connection, &live.session, head)?,
                }
            }
        };
        tips.insert(key(live), Pending::at(live, tip, false));
        Ok(())
    }

    /// A session that is made just now has no events, and nobody else has had it.
    fn begin(&self, connection: &Connection, live: &Arc<Live>, new: &Beginning) -> Result<Tip> {
        match &new.workspace {
            Some(workspace) => {
                workspaces::insert(connection, workspace, new.now_ms)?;
                sessions::insert_into_its_workspace(connection, &new.session, new.now_ms)?;
            }
            None => sessions::insert(connection, &new.session, new.now_ms)?,
        }
        Ok(Tip {
            fence: leases::take_first(connection, &live.session, &self.process)?,
            head: 0,
            checksum: event_row::seed(&live.session),
        })
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
                Ok(place.insert(Pending::at(live, tip, poisoned)))
            }
        }
    }

    /// Tells readers and waiters what became of a transaction.
    fn show(&self, commands: Vec<Command>, outcome: Result<Tips>) {
        let error = match outcome {
            Ok(tips) => {
                kill_point("store.show.begins");
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
        kill_point("store.show.done");
    }

    fn show_one(&self, command: Command, error: Option<&Error>) {
        match command {
            Command::Workspace { reply, .. } | Command::Session { reply, .. } | Command::Change { reply, .. } => {
                answer(reply, error.cloned());
            }
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
            Command::Audit { entry, room, .. } => {
                if let Some(error) = error {
                    audit::not_written(&entry, error);
                }
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
            Command::Workspace { .. }
            | Command::Session { .. }
            | Command::Release { .. }
            | Command::Audit { .. }
            | Command::Change { .. } => None,
            Command::Take { live, .. } | Command::Append { live, .. } | Command::Flush { live, .. } => Some(key(live)),
        };
        let part = session.map_or(parts.len(), |session| *part_of.entry(session).or_insert(parts.len()));
        if part == parts.len() {
            parts.push(Vec::new());
        }
        parts[part].push(command);
    }
    parts
}
