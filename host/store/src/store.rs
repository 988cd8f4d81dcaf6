//! The store: one data directory, its writer and its readers.

use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::Connection;
use sandbar_protocol::{
    Answer, AuditEntry, Clock, Event, KvCall, KvReply, KvSpace, Protected, Result, RunId, SessionId, SuspensionId,
    SystemClock, WorkspaceId, kill_point,
};

use crate::approvals::{self, NewApproval, StandingApproval, WantedApproval};
use crate::effects::{self, EffectSummary};
use crate::error::{Doing as _, session_not_found};
use crate::follow::Follow;
use crate::live::{Live, LiveSessions};
use crate::process::Process;
use crate::queue::{Beginning, Change, Command, Queue, Reply};
use crate::readers::Readers;
use crate::runs::{self, RunSummary};
use crate::session_writer::SessionWriter;
use crate::sessions::{self, NewSession, SessionSummary};
use crate::subscription::Subscription;
use crate::suspensions::{self, SuspensionSummary};
use crate::workspaces::{self, NewWorkspace, Workspace};
use crate::writer::Writer;
use crate::{journal, kv, leases, lock, open};

/// How many events are held at a time by who sees all of them.
const PAGE: usize = 256;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub clock: Arc<dyn Clock>,
    /// The size that the journal may grow to; none is what the disk holds.
    pub max_bytes: Option<u64>,
    /// The SQLite VFS that the files are opened through, by the name under which it is registered; none is the system's own. For a
    /// harness that plays a failing disk.
    pub vfs: Option<String>,
    /// Values that are neither written nor shown.
    pub protected: Arc<Protected>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            max_bytes: None,
            vfs: None,
            protected: Arc::default(),
        }
    }
}

/// What came from elsewhere for runs that are going on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inbox {
    /// Suspensions that have an answer.
    pub answered: Vec<SuspensionId>,
    /// Runs that somebody wants to end.
    pub cancelled: Vec<RunId>,
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
    /// Before the writer, so that they are closed first: the last connection to go writes the log back, and these can't.
    readers: Arc<Readers>,
    writer: Arc<Writer>,
    clock: Arc<dyn Clock>,
    directory: Option<PathBuf>,
    protected: Arc<Protected>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the journal in a data directory, and makes both if they aren't there.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self> {
        open::prepare_directory(directory)?;
        let connection = open::open_for_writing(directory, &options)?;
        let process = Process::announce(directory)?;
        kill_point("store.open.announced");
        let readers = Readers::of_directory(directory.to_owned(), options.vfs.clone());
        let connection = Arc::new(Mutex::new(connection));
        Self::start(connection, readers, process, options, Some(directory.to_owned()))
    }

    /// A journal that is gone with its last handle: for tests, benchmarks and throw-away sessions.
    pub fn in_memory(options: StoreOptions) -> Result<Self> {
        let connection = Arc::new(Mutex::new(open::open_in_memory(options.max_bytes)?));
        let readers = Readers::Memory(Arc::clone(&connection));
        Self::start(connection, readers, Process::alone(), options, None)
    }

    /// Values that are neither written nor shown: who compares something with the journal takes them out of it first.
    pub fn protected(&self) -> &Arc<Protected> {
        &self.shared.protected
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

    /// What a session was begun with: a look-up that costs the same however much has happened in it since.
    pub fn session_origin(&self, id: &SessionId) -> Result<Option<NewSession>> {
        self.shared.readers.read(|connection| sessions::origin(connection, id))
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

    pub fn run(&self, id: &RunId) -> Result<RunSummary> {
        self.shared
            .readers
            .read(|connection| runs::find(connection, id))?
            .ok_or_else(|| runs::not_found(id))
    }

    /// The runs of all sessions that have not ended: they go on somewhere, wait for an answer, or were cut off. Oldest first.
    pub fn unfinished_runs(&self) -> Result<Vec<RunSummary>> {
        self.shared.readers.read(runs::unfinished)
    }

    /// The run of a session that has not ended.
    pub fn unfinished_run(&self, session: &SessionId) -> Result<Option<RunSummary>> {
        self.shared
            .readers
            .read(|connection| runs::unfinished_of(connection, session))
    }

    /// The run that works on what a run has handed over and waits for, if there is one.
    pub fn open_child(&self, run: &RunId) -> Result<Option<RunSummary>> {
        self.shared.readers.read(|connection| runs::open_child(connection, run))
    }

    /// The process that holds a session for writing, if one does.
    pub fn holder(&self, session: &SessionId) -> Result<Option<String>> {
        let process = &self.shared.writer.process;
        self.shared
            .readers
            .read(|connection| leases::holder(connection, session, process))
    }

    /// Asks whoever has the run to end it.
    pub async fn ask_to_cancel(&self, run: &RunId) -> Result<()> {
        let (run, now_ms) = (run.clone(), self.clock().now_ms());
        self.change(move |connection| runs::ask_to_cancel(connection, &run, now_ms))
            .await
    }

    pub fn suspension(&self, id: &SuspensionId) -> Result<Option<SuspensionSummary>> {
        self.shared.readers.read(|connection| suspensions::find(connection, id))
    }

    /// What waits for an answer, oldest first.
    pub fn open_suspensions(&self) -> Result<Vec<SuspensionSummary>> {
        self.shared.readers.read(suspensions::open)
    }

    /// Oldest first.
    pub fn suspensions(&self, run: &RunId) -> Result<Vec<SuspensionSummary>> {
        self.shared
            .readers
            .read(|connection| suspensions::of_run(connection, run))
    }

    /// Leaves an answer for whoever continues the run. The first one counts; it must fit the suspension's schema.
    pub async fn answer(&self, id: &SuspensionId, answer: Answer) -> Result<()> {
        let (id, now_ms) = (id.clone(), self.clock().now_ms());
        self.change(move |connection| suspensions::answer(connection, &id, &answer, now_ms))
            .await
    }

    /// What came from elsewhere for runs that are going on.
    pub fn inbox(&self) -> Result<Inbox> {
        self.shared.readers.read(|connection| {
            Ok(Inbox {
                answered: suspensions::answered(connection)?,
                cancelled: runs::to_cancel(connection)?,
            })
        })
    }

    /// Lets a tool be called without asking from now on.
    pub async fn approve(&self, new: NewApproval) -> Result<()> {
        let now_ms = self.clock().now_ms();
        self.change_audited(move |connection| approvals::insert(connection, &new, now_ms))
            .await
    }

    /// Who allowed a tool to be called without asking, with all that it can do by now, if somebody did.
    pub fn approved_by(&self, wanted: &WantedApproval<'_>) -> Result<Option<String>> {
        self.shared
            .readers
            .read(|connection| approvals::holds(connection, wanted))
    }

    /// Oldest first.
    pub fn approvals(&self) -> Result<Vec<StandingApproval>> {
        self.shared.readers.read(approvals::list)
    }

    /// `by` is who wants to be asked again.
    pub async fn revoke_approval(&self, id: u64, by: &str) -> Result<()> {
        let by = by.to_owned();
        self.change_audited(move |connection| approvals::revoke(connection, id, &by))
            .await
    }

    /// What a plugin keeps, or a change of it, which is committed when this is done. The key has been checked.
    pub async fn key_values(&self, space: KvSpace, call: KvCall) -> Result<KvReply> {
        let readers = &self.shared.readers;
        match call {
            KvCall::Get { key } => Ok(KvReply::Value(
                readers.read(|connection| kv::get(connection, &space, &key))?,
            )),
            KvCall::Keys { prefix, after, limit } => {
                Ok(KvReply::Keys(readers.read(|connection| {
                    kv::keys(connection, &space, &prefix, after.as_deref(), limit)
                })?))
            }
            KvCall::Set { key, value } => {
                // A refusal must not undo what others write in the same transaction.
                let refusal = Arc::new(Mutex::new(Ok(())));
                let told = Arc::clone(&refusal);
                self.change(move |connection| {
                    *lock(&told) = kv::set(connection, &space, &key, &value)?;
                    Ok(())
                })
                .await?;
                let refused = lock(&refusal).clone();
                refused.map(|()| KvReply::Done)
            }
            KvCall::Delete { key } => {
                self.change(move |connection| kv::delete(connection, &space, &key))
                    .await?;
                Ok(KvReply::Done)
            }
        }
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

    /// Shows every event that follows the event `after`, oldest first, without holding all of them.
    pub fn each_event(&self, session: &SessionId, after: u64, mut see: impl FnMut(&Event)) -> Result<()> {
        let mut last = after;
        loop {
            let events = self.events(session, last, PAGE)?;
            events.iter().for_each(&mut see);
            match events.last() {
                Some(newest) if events.len() == PAGE => last = newest.sequence,
                _ => return Ok(()),
            }
        }
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

    /// Reads the events of a session from the one after `after`, whoever writes it: what another process commits comes within a
    /// tenth of a second. It ends when no run goes on; without a run it gives what the journal has.
    pub fn follow(&self, session: &SessionId, after: u64) -> Follow {
        Follow::new(self.clone(), session.clone(), after)
    }

    /// How many transactions have been committed since the store was opened.
    pub fn commits(&self) -> u64 {
        self.shared.writer.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn subscription(&self, session: &SessionId, after: u64, live: Option<&Arc<Live>>) -> Subscription {
        Subscription::new(session.clone(), Arc::clone(&self.shared.readers), after, live)
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.shared.writer.queue
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }

    pub(crate) fn shared_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    pub(crate) fn writer(&self) -> Arc<Writer> {
        Arc::clone(&self.shared.writer)
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.shared.readers
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
                protected: options.protected,
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

    /// Waits until what is in the queue is done.
    pub async fn settle(&self) -> Result<()> {
        self.change(|_| Ok(())).await
    }

    async fn change(&self, change: impl Fn(&Connection) -> Result<()> + Send + 'static) -> Result<()> {
        self.change_audited(move |connection| change(connection).map(|()| Vec::new()))
            .await
    }

    /// A change that gives what the audit has to know of it; both are committed together.
    pub(crate) async fn change_audited(
        &self,
        change: impl Fn(&Connection) -> Result<Vec<AuditEntry>> + Send + 'static,
    ) -> Result<()> {
        let (change, now_ms) = (Change(Box::new(change)), self.clock().now_ms());
        self.ask(|reply| Command::Change { change, now_ms, reply }).await
    }

    /// Has the writer do something, and waits for its answer.
    pub(crate) async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<()> {
        self.shared.writer.ask(self.directory().is_some(), command).await
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
