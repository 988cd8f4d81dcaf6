//! What the store takes from sessions that wait for each of their events, beside SQLite alone with the same rows.

use std::time::{Duration, Instant};

use sandbar::protocol::{EventBody, RunId, SessionId, ToolOutcome, ToolOutput};
use sandbar::store::{NewSession, SessionWriter, Store, StoreOptions};
use tokio::task::JoinSet;

use crate::bare_sqlite::BareSqlite;
use crate::measure::{Samples, median, process_cpu, ratio, show};
use crate::table::Table;

/// How many sessions write at once, and how many events each of them writes in a round.
const GROUPS: [(u32, u32); 4] = [(1, 400), (8, 200), (64, 80), (256, 30)];

/// Events before the first round, in few transactions: SQLite's log has its size then. While it grows, each sync is one of the file
/// system's journal too, and how long it grows depends on how much a commit writes.
const BEFORE: u32 = 10_240;

/// The two take turns, so that what else the machine does falls on both.
const ROUNDS: usize = 5;

pub(crate) async fn rows(table: &mut Table) -> anyhow::Result<()> {
    for (sessions, events) in GROUPS {
        let directory = tempfile::tempdir()?;
        let mut ours = Journal::open(directory.path(), sessions).await?;
        let mut bare = BareSqlite::open(directory.path(), sessions)?;
        ours.fill().await?;
        bare.fill(BEFORE)?;
        for _ in 0..ROUNDS {
            ours.round(events).await?;
            bare.round(events)?;
        }
        let all = sessions * events;
        let (ours_round, bare_round) = (median(&mut ours.rounds), median(&mut bare.rounds));
        let per_commit = f64::from(all) * ROUNDS as f64 / ours.commits() as f64;
        let samples = Samples::new(ours.times, ours.cpu);
        let commits = Samples::new(bare.times, Duration::ZERO);
        let bare_cpu = bare.cpu / (all * ROUNDS as u32);
        table.row(
            &format!("events of 500 bytes, sessions that wait for the commit of each: {sessions}"),
            format!(
                "{:.0} events/s, {}, {per_commit:.1} events per commit",
                rate(all, ours_round),
                samples.show()
            ),
            format!(
                "SQLite alone, rows in each commit: {sessions}: {:.0} rows/s, a commit p50 {}, p99 {}, CPU {} a row",
                rate(all, bare_round),
                show(commits.percentile(50)),
                show(commits.percentile(99)),
                show(bare_cpu)
            ),
            ratio(ours_round, bare_round),
            "–",
        );
    }
    Ok(())
}

fn rate(events: u32, time: Duration) -> f64 {
    f64::from(events) / time.as_secs_f64()
}

/// A store, the sessions that write to it, and how long they took.
struct Journal {
    store: Store,
    sessions: Vec<Session>,
    /// Commits before the first round.
    before: u64,
    rounds: Vec<Duration>,
    times: Vec<Duration>,
    cpu: Duration,
}

impl Journal {
    async fn open(directory: &std::path::Path, sessions: u32) -> anyhow::Result<Self> {
        let store = Store::open(&directory.join("store"), StoreOptions::default())?;
        let mut begun = Vec::new();
        for number in 0..sessions {
            let new = NewSession {
                id: session_id(number),
                agent: "main".to_owned(),
                workspace: None,
            };
            let writer = store.begin_session(new, None)?;
            writer.flush().await?;
            begun.push(Session {
                run: run_id(number),
                writer,
                written: 0,
            });
        }
        Ok(Self {
            before: store.commits(),
            store,
            sessions: begun,
            rounds: Vec::new(),
            times: Vec::new(),
            cpu: Duration::ZERO,
        })
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        let each = BEFORE / u32::try_from(self.sessions.len())?;
        for session in &mut self.sessions {
            for _ in 0..each {
                session.append().await?;
            }
            session.writer.flush().await?;
        }
        self.before = self.store.commits();
        Ok(())
    }

    async fn round(&mut self, events: u32) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        let (started, cpu) = (Instant::now(), process_cpu());
        for session in self.sessions.drain(..) {
            tasks.spawn(session.write(events));
        }
        let mut times = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            let (session, took) = ended??;
            self.sessions.push(session);
            times.push(took);
        }
        self.rounds.push(started.elapsed());
        self.cpu += process_cpu() - cpu;
        self.times.extend(times.into_iter().flatten());
        Ok(())
    }

    fn commits(&self) -> u64 {
        self.store.commits() - self.before
    }
}

struct Session {
    run: RunId,
    writer: SessionWriter,
    written: u32,
}

impl Session {
    /// Waits for each event, as a run does before an effect that must not happen twice.
    async fn write(mut self, events: u32) -> anyhow::Result<(Self, Vec<Duration>)> {
        let mut times = Vec::new();
        for _ in 0..events {
            let started = Instant::now();
            self.append().await?;
            self.writer.flush().await?;
            times.push(started.elapsed());
        }
        Ok((self, times))
    }

    async fn append(&mut self) -> anyhow::Result<()> {
        self.writer.append(&self.run, body(self.written)).await?;
        self.written += 1;
        Ok(())
    }
}

/// Scattered over the key space, as the ids of sessions are.
pub(crate) fn session_id(number: u32) -> SessionId {
    SessionId::from_entropy(scattered(number))
}

pub(crate) fn run_id(number: u32) -> RunId {
    RunId::from_entropy(scattered(number + 1_000_000))
}

fn scattered(number: u32) -> u64 {
    u64::from(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The events of a call and of its outcome in turns, some 500 bytes each.
pub(crate) fn body(number: u32) -> EventBody {
    let ordinal = number / 2 + 1;
    let (effect, call_id) = (format!("tool-{ordinal}"), format!("main-{ordinal}-0"));
    let (thread, name) = ("main".to_owned(), "files__write".to_owned());
    if number.is_multiple_of(2) {
        EventBody::ToolStarted {
            parent: None,
            ordinal,
            attempt: 1,
            call_id,
            thread,
            name,
            arguments: format!(r#"{{"path":"notes/{ordinal}.md","text":"{}"}}"#, "a line. ".repeat(12)),
            argument_digest: "0123456789abcdef".repeat(4),
            idempotency_key: "0123456789abcdef".repeat(2),
            idempotent: false,
            refused: false,
            effect,
        }
    } else {
        EventBody::ToolFinished {
            effect,
            call_id,
            thread,
            name,
            outcome: ToolOutcome::Output(ToolOutput {
                text: "a line. ".repeat(46),
                structured: None,
                user_text: None,
                artifacts: Vec::new(),
            }),
            denials: Vec::new(),
            ms: 3,
        }
    }
}
