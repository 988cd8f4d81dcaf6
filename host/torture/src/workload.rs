//! What is done to a store while its disk is tortured: sessions, groups of events, checkpoints, closing and opening again.
//!
//! Everything that writes goes in an order that the seed decides: commands of several sessions gather behind the disk's gate and become
//! one transaction. So the same seed brings the same writes, and a state can be repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use futures::executor::block_on;
use futures::future::{BoxFuture, join_all, ready};
use rusqlite::{Connection, OpenFlags};
use sandbar_protocol::{Clock, Error, Result, SessionId, StreamItem, WorkspaceId};
use sandbar_store::{NewSession, NewWorkspace, SessionWriter, Store, StoreOptions, Subscription, WorkspaceKind};

use crate::beside::Asked;
use crate::chance::Chance;
use crate::disk::{Disk, VFS};
use crate::ledger::{Ledger, Sent};
use crate::script::Script;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A session is made; which one of two ways, its number decides.
    Begin,
    /// Several sessions append up to so many events each, of a hundred answers so many large; some flush.
    Append { most: usize, large: usize },
    /// A session appends events until its run waits for an answer.
    Question,
    /// So many rows beside the events, in one transaction with the answers that are due.
    Beside(usize),
    /// Another connection has the log written to the database, in this mode.
    Checkpoint(&'static str),
    /// The store is closed, as at the end of a process, and opened again by the next step.
    Close,
}

pub(crate) struct Workload<'a> {
    disk: &'a Disk,
    ledger: &'a mut Ledger,
    chance: &'a mut Chance,
    clock: Arc<Ticks>,
    store: Option<Store>,
    tracks: Vec<Track>,
    /// Writers that have failed, given up with the next step.
    failed: Vec<Arc<SessionWriter>>,
    /// Rows beside the events that the store was asked for and has not answered.
    asked: Vec<Asked>,
    /// What the store answered when it could not do something.
    pub(crate) errors: Vec<Error>,
    /// What must not be, whatever the disk does.
    pub(crate) problems: Vec<String>,
    pub(crate) lost: u64,
}

struct Track {
    session: SessionId,
    script: Script,
    writing: Option<(Arc<SessionWriter>, Subscription)>,
}

/// Each look is one millisecond after the one before.
#[derive(Debug)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl<'a> Workload<'a> {
    /// Goes on with the sessions that the ledger has.
    pub(crate) fn new(disk: &'a Disk, ledger: &'a mut Ledger, chance: &'a mut Chance) -> Self {
        let tracks = ledger
            .sessions
            .keys()
            .map(|session| Track {
                session: session.clone(),
                script: Script::new(session, 0),
                writing: None,
            })
            .collect();
        Self {
            disk,
            ledger,
            chance,
            clock: Arc::new(Ticks(AtomicU64::new(1_000_000))),
            store: None,
            tracks,
            failed: Vec::new(),
            asked: Vec::new(),
            errors: Vec::new(),
            problems: Vec::new(),
            lost: 0,
        }
    }

    /// Does a step as far as the disk lets it.
    pub(crate) fn step(&mut self, step: Step) {
        // A session that has failed can be opened anew once its writer is gone.
        self.failed.clear();
        let Some(store) = self.open() else { return };
        match step {
            Step::Begin => self.begin(&store),
            Step::Append { most, large } => self.append(&store, most, large),
            Step::Question => self.question(&store),
            Step::Beside(count) => self.together(&store, &[], |workload| {
                workload.answer(&store);
                (0..count).for_each(|_| workload.ask(&store));
            }),
            Step::Checkpoint(mode) => self.checkpoint(mode),
            Step::Close => {
                self.together(&store, &[], |workload| {
                    for track in &mut workload.tracks {
                        track.writing = None;
                    }
                });
                // The handle above is the last one: it waits until everything is written.
                self.store = None;
            }
        }
    }

    /// Opens nothing and appends nothing, but finds the sessions whose commits have failed, so that they are opened anew.
    pub(crate) fn give_up_what_failed(&mut self) {
        for track in 0..self.tracks.len() {
            if let Some((writer, _)) = &self.tracks[track].writing
                && let Err(error) = block_on(writer.flush())
            {
                self.give_up(track, error);
            }
        }
    }

    /// The store as it is now, if it could be opened.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        self.ledger
    }

    fn open(&mut self) -> Option<Store> {
        if self.store.is_none() {
            let options = StoreOptions {
                clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
                vfs: Some(VFS.to_owned()),
                ..StoreOptions::default()
            };
            match Store::open(self.disk.directory(), options) {
                Ok(store) => self.store = Some(store),
                Err(error) => self.errors.push(error),
            }
        }
        self.store.clone()
    }

    fn begin(&mut self, store: &Store) {
        let number = self.tracks.len();
        let session = SessionId::parse(&format!("s{number}")).expect("it is a good name");
        let new = NewSession {
            id: session.clone(),
            agent: "writer".to_owned(),
            workspace: None,
        };
        self.tracks.push(Track {
            script: Script::new(&session, 0),
            session: session.clone(),
            writing: None,
        });
        // What is asked for may be there afterwards, acknowledged or not.
        self.ledger.promised(&session);
        if number.is_multiple_of(2) {
            match block_on(store.create_session(new)) {
                Ok(()) => self.ledger.promised(&session).made = true,
                Err(error) => self.errors.push(error),
            }
            return;
        }
        self.together(store, &[number], |workload| match store.begin_session(new, None) {
            Ok(writer) => {
                let reader = writer.subscribe(0);
                workload.tracks[number].writing = Some((Arc::new(writer), reader));
            }
            Err(error) => workload.errors.push(error),
        });
    }

    fn append(&mut self, store: &Store, most: usize, large: usize) {
        let chosen: Vec<usize> = (0..self.tracks.len()).filter(|_| self.chance.percent(60)).collect();
        for &track in &chosen {
            self.take(store, track);
        }
        self.together(store, &chosen, |workload| {
            workload.answer(store);
            for _ in 0..=workload.chance.below(most) {
                if !chosen.is_empty() {
                    let track = workload.chance.pick(&chosen);
                    workload.append_to(track, large);
                }
                if workload.chance.percent(40) {
                    workload.ask(store);
                }
            }
        });
    }

    /// By the first session that takes events.
    fn question(&mut self, store: &Store) {
        for track in 0..self.tracks.len() {
            self.take(store, track);
            if self.tracks[track].writing.is_some() {
                return self.together(store, &[track], |workload| {
                    workload.tracks[track].script.ask_next();
                    while workload.tracks[track].writing.is_some() && workload.tracks[track].script.question().is_none()
                    {
                        workload.append_to(track, 0);
                    }
                });
            }
        }
    }

    fn ask(&mut self, store: &Store) {
        let asked = self.ledger.beside.ask(store, self.chance);
        self.asked.push(begun(asked));
    }

    /// Answers what runs wait for, where the question was acknowledged. The events that follow in the same transaction may be that a
    /// run goes on with the answer, or ends without it.
    fn answer(&mut self, store: &Store) {
        for track in &self.tracks {
            let promised = self.ledger.promised(&track.session);
            let is_known = promised.acknowledged > 0 && promised.acknowledged == promised.sent.len();
            let Some(question) = track.script.question().filter(|_| is_known) else {
                continue;
            };
            if self.chance.percent(80)
                && let Some(asked) = self.ledger.beside.answer(store, &question)
            {
                self.asked.push(begun(asked));
            }
        }
    }

    /// Makes sure that a session is taken for writing, and holds what the journal has of it against the ledger.
    fn take(&mut self, store: &Store, track: usize) {
        if self.tracks[track].writing.is_some() {
            return;
        }
        let session = self.tracks[track].session.clone();
        match block_on(store.write_session(&session)) {
            Ok(writer) => {
                let promised = self.ledger.promised(&session);
                let head = writer.head() as usize;
                if head > promised.sent.len() {
                    let sent = promised.sent.len();
                    self.problems
                        .push(format!("`{session}` has {head} events; {sent} were sent"));
                }
                self.lost += promised.reopened_at(head) as u64;
                promised.made = true;
                self.ledger.lives += 1;
                let reader = writer.subscribe(self.chance.pick(&[0, head as u64]));
                let track = &mut self.tracks[track];
                // A run that the crash cut off is not continued here.
                track.script = Script::new(&session, self.ledger.lives);
                track.writing = Some((Arc::new(writer), reader));
            }
            // It was never made, which is right unless that was acknowledged.
            Err(error) if error.code == "session-not-found" => {
                let promised = self.ledger.promised(&session);
                if promised.made {
                    self.lost += promised.acknowledged as u64;
                    self.problems.push(format!("the session `{session}` is gone"));
                }
                promised.reopened_at(0);
            }
            Err(error) => self.errors.push(error),
        }
    }

    fn append_to(&mut self, track: usize, large: usize) {
        let Track {
            session,
            script,
            writing: Some((writer, _)),
        } = &mut self.tracks[track]
        else {
            return;
        };
        let (run, body) = script.next(self.chance, large);
        let sent = Sent {
            run: run.clone(),
            body: body.clone(),
        };
        let appended = writer.append(&run, body).now_or_never();
        match appended.expect("there is room in the queue for what a step appends") {
            Ok(event) => {
                let sequence = event.sequence;
                let promised = self.ledger.promised(session);
                promised.sent.push(sent);
                let expected = promised.sent.len();
                if sequence as usize != expected {
                    self.problems.push(format!(
                        "`{session}` gave the number {sequence} to its event {expected}"
                    ));
                }
            }
            Err(error) => self.give_up(track, error),
        }
    }

    /// Has everything that `ask` asks for written in one transaction, after one that makes a workspace, and waits for it. What is
    /// heard of most of the chosen sessions is an acknowledgement; of the others only what their readers are shown.
    fn together(&mut self, store: &Store, chosen: &[usize], ask: impl FnOnce(&mut Self)) {
        let id = WorkspaceId::parse(&format!("w-{:x}", self.chance.number())).expect("it is a good name");
        let new = NewWorkspace {
            id: id.clone(),
            kind: WorkspaceKind::Own,
            path: "/data/w".into(),
        };
        let gate = &self.disk.gate;
        gate.shut();
        let (made, flushes) = std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                let made = block_on(store.create_workspace(new));
                gate.give_up();
                made
            });
            if !gate.wait_for_writer() {
                self.problems.push("the store hangs".to_owned());
            }
            // Nothing is being written now: what readers have been shown is known.
            self.read();
            ask(self);
            let flushes = self.begin_to_flush(chosen);
            gate.open();
            let made = making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (made, flushes)
        });
        match made {
            Ok(()) => {
                self.ledger.workspaces.insert(id);
            }
            Err(error) => self.errors.push(error),
        }
        for (row, outcome) in block_on(join_all(self.asked.drain(..))) {
            match outcome {
                Ok(()) => self.ledger.beside.acknowledge(row),
                Err(error) => self.errors.push(error),
            }
        }
        for (track, outcome) in block_on(join_all(flushes)) {
            match outcome {
                Ok(()) if self.chance.percent(70) => {
                    let promised = self.ledger.promised(&self.tracks[track].session);
                    promised.acknowledge(promised.sent.len());
                }
                Ok(()) => {}
                Err(error) => self.give_up(track, error),
            }
        }
    }

    /// Each is in the queue when this returns.
    fn begin_to_flush(&self, chosen: &[usize]) -> Vec<BoxFuture<'static, (usize, Result<()>)>> {
        let writers = chosen.iter().filter_map(|&track| {
            let (writer, _) = self.tracks[track].writing.as_ref()?;
            Some((track, Arc::clone(writer)))
        });
        writers
            .map(|(track, writer)| {
                let flush = async move { (track, writer.flush().await) };
                begun(flush.boxed())
            })
            .collect()
    }

    /// Takes what readers have been shown: whatever it is, it counts as acknowledged.
    fn read(&mut self) {
        for track in &mut self.tracks {
            let Some((_, reader)) = &mut track.writing else {
                continue;
            };
            while let Some(Some(item)) = reader.next().now_or_never() {
                match item {
                    Ok(StreamItem::Event(event)) => {
                        let shown = self.ledger.promised(&track.session).show(&event);
                        self.problems.extend(shown.err());
                    }
                    Ok(StreamItem::Delta(_)) => {}
                    Err(error) => self.errors.push(error),
                }
            }
        }
    }

    /// A checkpoint that the disk doesn't let through is none: the log stays, and nothing was promised.
    fn checkpoint(&mut self, mode: &str) {
        let path = self.disk.directory().join("sandbar.db");
        let _ = Connection::open_with_flags_and_vfs(path, OpenFlags::SQLITE_OPEN_READ_WRITE, VFS)
            .and_then(|connection| connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())));
    }

    fn give_up(&mut self, track: usize, error: Error) {
        self.errors.push(error);
        self.failed
            .extend(self.tracks[track].writing.take().map(|(writer, _)| writer));
    }
}

/// The same after it has been polled once, so that its command is in the queue.
fn begun<T: Send + 'static>(mut future: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
    match future.poll_unpin(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => ready(outcome).boxed(),
        Poll::Pending => future,
    }
}
