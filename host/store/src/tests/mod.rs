//! Tests of the store as a whole, on real databases. Here is what they share.

/// Appending, committing in groups, and reading back.
mod appending;
/// A full disk, damaged rows, a newer database.
mod damage;
/// Rows that are derived from events, and lists of sessions.
mod derived;
/// Readers that come early, late, and too slowly.
mod reading_along;
/// Several processes on one data directory.
mod sharing;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;
use sandbar_protocol::{Clock, Event, EventBody, RunId, SessionId, StreamItem};
use tempfile::TempDir;

use crate::{NewSession, SessionWriter, Store, StoreOptions, Subscription};

/// Each look is one millisecond after the one before.
#[derive(Debug, Default)]
struct TickingClock(AtomicU64);

impl Clock for TickingClock {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

fn options() -> StoreOptions {
    StoreOptions {
        clock: Arc::new(TickingClock::default()),
        max_bytes: None,
    }
}

fn open(directory: &Path) -> Store {
    Store::open(directory, options()).unwrap()
}

fn directory_and_store() -> (TempDir, Store) {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    (directory, store)
}

fn sql(directory: &Path) -> Connection {
    let connection = Connection::open(directory.join("sandbar.db")).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    connection
}

/// Keeps every store from committing until it is dropped.
struct Hold(Connection);

fn hold(directory: &Path) -> Hold {
    let connection = sql(directory);
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    Hold(connection)
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

fn session(name: &str) -> SessionId {
    SessionId::parse(name).unwrap()
}

fn run(name: &str) -> RunId {
    RunId::parse(name).unwrap()
}

fn new_session(name: &str) -> NewSession {
    NewSession {
        id: session(name),
        agent: "default".to_owned(),
        workspace: None,
    }
}

fn begin(store: &Store, name: &str) -> SessionWriter {
    store.begin_session(new_session(name), None).unwrap()
}

/// An event that says a text.
fn said(text: impl Into<String>) -> EventBody {
    EventBody::Unsupported {
        id: "e1".to_owned(),
        message: text.into(),
    }
}

async fn append(writer: &SessionWriter, texts: &[&str]) {
    for text in texts {
        writer.append(&run("r"), said(*text)).await.unwrap();
    }
}

/// `1 one, 2 two`: the sequences and texts of events.
fn shown(events: &[Event]) -> String {
    let parts: Vec<String> = events
        .iter()
        .map(|event| format!("{} {}", event.sequence, text_of(event)))
        .collect();
    parts.join(", ")
}

fn text_of(event: &Event) -> &str {
    match &event.body {
        EventBody::Unsupported { message, .. } => message,
        other => other.name(),
    }
}

fn texts(store: &Store, name: &str) -> String {
    shown(&store.events(&session(name), 0, usize::MAX).unwrap())
}

/// What a reader has got once nothing more follows: events as above, previews as `~text`, an error as `!code`.
async fn drain(subscription: &mut Subscription) -> String {
    let mut parts = Vec::new();
    while let Some(item) = subscription.next().await {
        parts.push(match item {
            Ok(StreamItem::Event(event)) => shown(&[(*event).clone()]),
            Ok(StreamItem::Delta(delta)) => match &*delta {
                sandbar_protocol::Delta::Model { text, .. } | sandbar_protocol::Delta::Tool { text, .. } => {
                    format!("~{text}")
                }
            },
            Err(error) => format!("!{}", error.code),
        });
    }
    parts.join(", ")
}

/// What a future has at once.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing is there yet"),
    }
}

/// Whether a future has nothing yet.
fn is_pending<F: Future>(future: F) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
