//! Tests of the store as a whole, on real databases. Here is what they share.

/// Plugins that fail again and again.
mod ailing;
/// Appending, committing in groups, and reading back.
mod appending;
/// The audit.
mod auditing;
/// A full disk, damaged rows, a newer database.
mod damage;
/// Rows that are derived from events, and lists of sessions.
mod derived;
/// Keys and values of plugins.
mod keeping;
/// Readers that come early, late, and too slowly.
mod reading_along;
/// Values that must not be written.
mod redacting;
/// Several processes on one data directory.
mod sharing;
/// Questions, their answers, and what was approved.
mod suspending;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;
use sandbar_protocol::{Clock, Event, EventBody, RunId, SessionId, StreamItem};
use serde_json::json;
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
        ..StoreOptions::default()
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

/// `m` begins a model call of that name, `t` a tool call, `M` and `T` end them, `x` takes a model call back.
fn call_event(kind: char, effect: &str) -> EventBody {
    let reply = json!({ "message": { "role": "assistant" }, "finish_reason": "stop" });
    let error = json!({ "code": "cut", "kind": "model", "message": "cut off" });
    let mut body = match kind {
        'm' => json!({ "type": "model.started", "ordinal": 1, "model": "m", "thread": "main" }),
        'M' => json!({ "type": "model.finished", "thread": "main", "reply": reply, "ms": 1 }),
        'x' => json!({ "type": "model.discarded", "error": error, "ms": 1 }),
        't' => {
            json!({ "type": "tool.started", "ordinal": 1, "call_id": "c", "thread": "main", "name": "t", "arguments": "",
            "argument_digest": "", "idempotency_key": "k", "idempotent": true })
        }
        _ => {
            json!({ "type": "tool.finished", "call_id": "c", "thread": "main", "name": "t", "ms": 1, "output": { "text": "" } })
        }
    };
    body["effect"] = json!(effect);
    serde_json::from_value(body).unwrap()
}

async fn append_call(writer: &SessionWriter, kind: char, effect: &str) {
    writer.append(&run("r"), call_event(kind, effect)).await.unwrap();
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

/// What a reader has got once nothing more follows: events as above, previews as `~started+offset text`, an error as `!code`.
async fn drain(subscription: &mut Subscription) -> String {
    let mut parts = Vec::new();
    while let Some(item) = subscription.next().await {
        parts.push(shown_item(item));
    }
    parts.join(", ")
}

/// The same of what a reader has at once.
fn seen(subscription: &mut Subscription) -> String {
    let items = std::iter::from_fn(|| at_once(subscription.next()).flatten());
    items.map(shown_item).collect::<Vec<_>>().join(", ")
}

fn shown_item(item: sandbar_protocol::Result<StreamItem>) -> String {
    match item {
        Ok(StreamItem::Event(event)) => shown(&[(*event).clone()]),
        Ok(StreamItem::Delta(delta)) => format!("~{}+{} {}", delta.started, delta.offset, delta.text),
        Err(error) => format!("!{}", error.code),
    }
}

/// What a future has at once.
fn now<F: Future>(future: F) -> F::Output {
    at_once(future).expect("nothing is there yet")
}

fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Whether a future has nothing yet.
fn is_pending<F: Future>(future: F) -> bool {
    at_once(future).is_none()
}
