//! Readers that come early, late, and too slowly.

use std::fmt::Write as _;

use sandbar_protocol::Delta;

use super::*;

fn preview(writer: &SessionWriter, text: &str) {
    writer.preview(Delta::Model {
        effect: "e1".to_owned(),
        text: text.to_owned(),
    });
}

#[tokio::test]
async fn previews_come_between_the_events_that_they_were_made_between() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    let held = hold(directory.path());
    append(&writer, &["one"]).await;
    preview(&writer, "a");
    preview(&writer, "b");
    append(&writer, &["two"]).await;
    drop(held);
    writer.flush().await.unwrap();
    preview(&writer, "c");
    let mut late = writer.subscribe(writer.head());
    preview(&writer, "d");
    append(&writer, &["three"]).await;
    drop(writer);
    assert_eq!(drain(&mut reader).await, "1 one, ~a, ~b, 2 two, ~c, ~d, 3 three");
    assert_eq!(drain(&mut late).await, "~d, 3 three");
    assert_eq!(texts(&store, "a"), "1 one, 2 two, 3 three");
}

#[tokio::test]
async fn a_slow_reader_reads_the_journal_again() {
    let (_directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    for number in 1..=1000 {
        writer.append(&run("r"), said("x")).await.unwrap();
        preview(&writer, "lost");
        if number % 100 == 0 {
            writer.flush().await.unwrap();
        }
    }
    // It has lost what was waiting, and gets it without anything new that would wake it up.
    while !matches!(now(reader.next()), Some(Ok(StreamItem::Event(event))) if event.sequence == 500) {}
    append(&writer, &["end"]).await;
    drop(writer);
    let mut expected = String::new();
    for sequence in 501..=1000 {
        write!(expected, "{sequence} x, ").unwrap();
    }
    let seen = drain(&mut reader).await;
    let events: Vec<&str> = seen.split(", ").filter(|part| !part.starts_with('~')).collect();
    assert_eq!(events.join(", "), format!("{expected}1001 end"));
}

#[tokio::test]
async fn a_mailbox_that_overflows_with_its_last_item_loses_nothing() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    append(&writer, &["x"; crate::mailbox::MAX_WAITING + 1]).await;
    writer.flush().await.unwrap();
    for _ in 0..=crate::mailbox::MAX_WAITING {
        assert!(matches!(now(reader.next()), Some(Ok(StreamItem::Event(_)))));
    }
    assert!(is_pending(reader.next()));
}

#[tokio::test]
async fn a_preview_is_not_shown_once_what_follows_it_was() {
    let (_directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one"]).await;
    writer.flush().await.unwrap();
    let mut reader = writer.subscribe(0);
    preview(&writer, "over");
    append(&writer, &["two"]).await;
    writer.flush().await.unwrap();
    // It reads both events from the journal, where the preview isn't.
    assert!(!is_pending(reader.next()));
    preview(&writer, "new");
    drop(writer);
    assert_eq!(drain(&mut reader).await, "2 two, ~new");
}

#[tokio::test]
async fn a_reader_begins_where_it_wants() {
    let (_directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one", "two"]).await;
    writer.flush().await.unwrap();
    let mut readers = [0, 1, 2, 3, 10].map(|after| store.subscribe(&session("a"), after).unwrap());
    append(&writer, &["three", "four"]).await;
    drop(writer);
    let expected = [
        "1 one, 2 two, 3 three, 4 four",
        "2 two, 3 three, 4 four",
        "3 three, 4 four",
        "4 four",
        "",
    ];
    for (reader, expected) in readers.iter_mut().zip(expected) {
        assert_eq!(drain(reader).await, expected);
    }
}

#[tokio::test]
async fn a_reader_without_a_writer_gets_the_journal_and_ends() {
    let (_directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one", "two"]).await;
    drop(writer);
    // The writer is gone, and what it appended may still be on its way.
    assert_eq!(
        drain(&mut store.subscribe(&session("a"), 0).unwrap()).await,
        "1 one, 2 two"
    );
    assert_eq!(drain(&mut store.subscribe(&session("a"), 1).unwrap()).await, "2 two");
    assert_eq!(store.subscribe(&session("b"), 0).unwrap_err().code, "session-not-found");
}

#[tokio::test]
async fn a_session_that_is_opened_again_is_read_from_its_start() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one"]).await;
    drop((writer, store));
    let store = open(directory.path());
    let held = hold(directory.path());
    let id = session("a");
    let mut opening = Box::pin(store.write_session(&id));
    assert!(is_pending(&mut opening));
    // While its lease is being taken nobody here knows yet where the journal ends.
    let mut early = store.subscribe(&session("a"), 0).unwrap();
    assert!(!is_pending(early.next()));
    drop(held);
    let writer = opening.await.unwrap();
    append(&writer, &["two"]).await;
    drop(writer);
    assert_eq!(drain(&mut early).await, "2 two");
}

#[tokio::test]
async fn readers_that_leave_cost_nothing() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    for _ in 0..100 {
        drop(writer.subscribe(0));
    }
    let mut waiting = writer.subscribe(0);
    // Given up while it waits, it misses nothing.
    assert!(is_pending(waiting.next()));
    append(&writer, &["one"]).await;
    writer.flush().await.unwrap();
    drop(writer);
    assert_eq!(drain(&mut waiting).await, "1 one");
}
