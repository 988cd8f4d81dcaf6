//! The store: one data directory, its writer and its readers.

use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::Connection;
use sandbar_protocol::{Clock, Event, Result, RunId, SessionId, SystemClock, WorkspaceId};
use tokio::sync::oneshot;

use crate::effects::{self, EffectSummary};
use crate::error::{Doing as _, session_not_found, writer_gone};
use crate::live::{Live, LiveSessions};
use crate::process::Process;
use crate::queue::{Beginning, Command, Queue, Reply};
use crate::readers::Readers;
use crate::runs::{self, RunSummary};
use crate::session_writer::SessionWriter;
use crate::sessions::{self, NewSession, SessionSummary};
use crate::subscription::Subscription;
use crate::workspaces::{self, NewWorkspace, Workspace};
use crate::writer::Writer;
use crate::{journal, leases, lock, open};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub clock: Arc<dyn Clock>,
    /// The size that the journal may grow to; none is what the disk holds.
    pub max_bytes: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            max_bytes: None,
        }
    }
}

/// The journal of one data directory. Clones are handles to the same; the last one to go waits until everything is written.
///
/// Several processes may have one directory open. Reading never waits for writing. Functions that write are `async`;
/// functions that read are short, and block.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    clock: Arc<dyn Clock>,
    directory: Option<PathBuf>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the journal in a data directory, and makes both if they aren't there.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self> {
        open::prepare_directory(directory)?;
        let connection = open::open_for_writing(directory, options.max_bytes)?;
        let process = Process::announce(directory)?;
        let readers = Readers::of_directory(directory.to_owned());
        let connection = Arc::new(Mutex::new(connection));
        Self::start(connection, readers, process, options, Some(directory.to_owned()))
    }

    /// A journal that is gone with its last handle: for tests, benchmarks and throw-away sessions.
    pub fn in_memory(options: StoreOptions) -> Result<Self> {
        let connection = Arc::new(Mutex::new(open::open_in_memory(options.max_bytes)?));
        let readers = Readers::Memory(Arc::clone(&connection));
        Self::start(connection, readers, Process::alone(), options, None)
    }

    /// Where the data is; none in memory.
    pub fn directory(&self) -> Option<&Path> {
        self.shared.directory.as_deref()
    }

    pub async fn create_workspace(&self, new: NewWorkspace) -> Result<()> {
        new.check()?;
        let now_ms = self.clock().now_ms();
        self.ask(|reply| Command::Workspace { new, now_ms, reply }).await
    }

    pub fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>> {
        self.shared.readers.read(|connection| workspaces::find(connection, id))
    }

    pub async fn create_session(&self, new: NewSession) -> Result<()> {
        let now_ms = self.clock().now_ms();
        self.ask(|reply| Command::Session { new, now_ms, reply }).await
    }

    pub fn session(&self, id: &SessionId) -> Result<Option<SessionSummary>> {
        self.shared.readers.read(|connection| sessions::find(connection, id))
    }

    /// Newest first. `before` is the last one of the page before.
    pub fn sessions(&self, limit: usize, before: Option<&SessionId>) -> Result<Vec<SessionSummary>> {
        self.shared
            .readers
            .read(|connection| sessions::list(connection, limit, before))
    }

    /// Oldest first.
    pub fn runs(&self, session: &SessionId) -> Result<Vec<RunSummary>> {
        self.shared
            .readers
            .read(|connection| runs::of_session(connection, session))
    }

    /// The effects of a run, in the order of their intents.
    pub fn effects(&self, run: &RunId) -> Result<Vec<EffectSummary>> {
        self.shared.readers.read(|connection| effects::of_run(connection, run))
    }

    /// Up to `limit` events that follow the event `after`; 0 is from the start. Each is checked against the one before it.
    ///
    /// A damaged row is an error that names it, also where rows before it are fine: ask for fewer to get those.
    pub fn events(&self, session: &SessionId, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.shared.readers.read(|connection| {
            let page = journal::page(connection, session, after, limit)?;
            if let Some(damage) = page.damage {
                return Err(damage);
            }
            if page.events.is_empty() && sessions::head(connection, session)?.is_none() {
                return Err(session_not_found(session));
            }
            Ok(page.events)
        })
    }

    /// Takes a session for writing. If another process or another part of this one has it, the error is `session-busy`.
    pub async fn write_session(&self, id: &SessionId) -> Result<SessionWriter> {
        let live = self.claim(id, false)?;
        // Made before the lease is there: if the caller goes away while it waits, this releases what was taken.
        let writer = SessionWriter::new(self.clone(), Arc::clone(&live));
        let take = |reply| Command::Take {
            live,
            new: None,
            reply: Some(reply),
        };
        self.ask(take).await?;
        Ok(writer)
    }

    /// Makes a session, with a workspace if it gets one, and takes it for writing, all in the transaction that commits its first
    /// events. If that can't be done, the writer's first `flush` says why.
    ///
    /// `workspace` becomes the session's; without it, `new.workspace` names one that is there.
    pub fn begin_session(&self, mut new: NewSession, workspace: Option<NewWorkspace>) -> Result<SessionWriter> {
        if let Some(workspace) = &workspace {
            workspace.check()?;
            new.workspace = Some(workspace.id.clone());
        }
        let live = self.claim(&new.id, true)?;
        let writer = SessionWriter::new(self.clone(), Arc::clone(&live));
        let new = Some(Box::new(Beginning {
            session: new,
            workspace,
            now_ms: self.clock().now_ms(),
        }));
        self.queue().push(Command::Take { live, new, reply: None })?;
        Ok(writer)
    }

    /// Reads a session along from the event after `after`. It ends when its writer in this process is gone, at once where there
    /// is none, after what the journal has.
    pub fn subscribe(&self, session: &SessionId, after: u64) -> Result<Subscription> {
        let live = lock(&self.shared.writer.live).get(session).cloned();
        if live.is_none()
            && self
                .shared
                .readers
                .read(|connection| sessions::head(connection, session))?
                .is_none()
        {
            return Err(session_not_found(session));
        }
        Ok(self.subscription(session, after, live.as_ref()))
    }

    /// How many transactions have been committed since the store was opened.
    pub fn commits(&self) -> u64 {
        self.shared.writer.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn subscription(&self, session: &SessionId, after: u64, live: Option<&Arc<Live>>) -> Subscription {
        let (shown, mailbox) = live.map_or((None, None), |live| live.listen());
        let readers = Arc::clone(&self.shared.readers);
        Subscription::new(session.clone(), readers, after, shown, mailbox)
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.shared.writer.queue
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }

    fn start(
        connection: Arc<Mutex<Connection>>,
        readers: Readers,
        process: Process,
        options: StoreOptions,
        directory: Option<PathBuf>,
    ) -> Result<Self> {
        let writer = Arc::new(Writer {
            connection,
            queue: Queue::new(),
            live: LiveSessions::default(),
            process,
            commits: AtomicU64::new(0),
            writing: Mutex::new(()),
        });
        let shared_writer = Arc::clone(&writer);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || shared_writer.run())
            .doing("start the journal's writer")?;
        Ok(Self {
            shared: Arc::new(Shared {
                writer,
                readers: Arc::new(readers),
                clock: options.clock,
                directory,
                thread: Some(thread),
            }),
        })
    }

    /// Two writers of one session in this process are told apart here; those of other processes by the lease.
    fn claim(&self, id: &SessionId, begins: bool) -> Result<Arc<Live>> {
        let live = Arc::new(Live::new(id, begins));
        match lock(&self.shared.writer.live).entry(id.clone()) {
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&live));
            }
            // Its release is in the queue, before the taking that follows.
            Entry::Occupied(mut place) if place.get().is_released() => {
                place.insert(Arc::clone(&live));
            }
            Entry::Occupied(_) => return Err(leases::busy(id, &format!("{} (this one)", std::process::id()))),
        }
        Ok(live)
    }

    /// Has the writer do something, and waits for its answer.
    pub(crate) async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        if self.directory().is_some() {
            self.queue().push(command(reply))?;
        } else {
            self.queue().push_quietly(command(reply))?;
            self.shared.writer.assist();
        }
        answer.await.unwrap_or_else(|_| Err(writer_gone()))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writer.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported, and everybody who waited for it has been told.
            let _ = thread.join();
        }
    }
}
