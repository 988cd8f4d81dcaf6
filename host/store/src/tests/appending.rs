//! Appending, committing in groups, and reading back.

use sandbar_protocol::{EventBody, RunSetup};
use serde_json::json;

use super::*;

#[tokio::test]
async fn what_is_appended_is_read_back() {
    let (_directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one", "two", "three"]).await;
    assert_eq!(writer.head(), 3);
    writer.flush().await.unwrap();

    let check = |after: u64, limit: usize, expected: &str| {
        assert_eq!(
            shown(&store.events(&session("a"), after, limit).unwrap()),
            expected,
            "{after} {limit}"
        );
    };
    check(0, 10, "1 one, 2 two, 3 three");
    check(0, 2, "1 one, 2 two");
    check(1, 1, "2 two");
    check(3, 10, "");
    check(u64::MAX, usize::MAX, "");
    assert_eq!(
        store.events(&session("b"), 0, 10).unwrap_err().code,
        "session-not-found"
    );
}

#[tokio::test]
async fn every_body_comes_back_as_it_was() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    let bodies = [
        EventBody::RunStarted {
            agent: "a".to_owned(),
            message: "line\nline \u{0} ü 🏖".to_owned(),
            workspace: None,
            parent: None,
            setup: RunSetup::default(),
        },
        EventBody::Unknown(json!({"type": "from.later", "deep": [1, {"x": null}]})),
        said(""),
    ];
    for body in &bodies {
        writer.append(&run("r"), body.clone()).await.unwrap();
    }
    writer.flush().await.unwrap();
    let events = store.events(&session("a"), 0, 10).unwrap();
    assert_eq!(
        events.iter().map(|event| event.body.clone()).collect::<Vec<_>>(),
        bodies
    );
    assert!(events.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms));
}

#[tokio::test]
async fn large_bodies_are_kept_once_as_blobs() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    let large = "x".repeat(32 * 1024);
    append(&writer, &["small", &large, &large]).await;
    writer.flush().await.unwrap();

    let count = |query: &str| {
        sql(directory.path())
            .query_row(query, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM blobs"), 1);
    assert_eq!(count("SELECT count(*) FROM events WHERE body IS NULL"), 2);
    assert_eq!(texts(&store, "a"), format!("1 small, 2 {large}, 3 {large}"));
}

#[tokio::test]
async fn nothing_is_shown_before_its_commit() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    writer.flush().await.unwrap();
    let mut reader = writer.subscribe(0);

    let held = hold(directory.path());
    append(&writer, &["one"]).await;
    let mut flush = Box::pin(writer.flush());
    assert!(is_pending(&mut flush));
    assert!(is_pending(reader.next()));
    assert_eq!(texts(&store, "a"), "");
    drop(held);
    flush.await.unwrap();
    assert_eq!(texts(&store, "a"), "1 one");
    assert!(!is_pending(reader.next()));
}

#[tokio::test]
async fn many_sessions_share_a_commit() {
    let (directory, store) = directory_and_store();
    let held = hold(directory.path());
    let writers: Vec<_> = (0..40).map(|number| begin(&store, &format!("s{number}"))).collect();
    for writer in &writers {
        append(writer, &["one", "two", "three"]).await;
    }
    drop(held);
    for writer in &writers {
        writer.flush().await.unwrap();
    }
    // What the writer had taken when it was held, and the rest.
    assert!(store.commits() <= 2, "{} commits for 40 sessions", store.commits());
    assert_eq!(texts(&store, "s39"), "1 one, 2 two, 3 three");
}

#[tokio::test]
async fn a_flush_in_memory_waits_for_more_than_a_batch() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    append(&writer, &["x"; 3 * crate::queue::MAX_BATCH]).await;
    writer.flush().await.unwrap();
    assert_eq!(
        store.session(&session("a")).unwrap().unwrap().events,
        3 * crate::queue::MAX_BATCH as u64
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_have_no_gap_in_fifty_concurrent_sessions() {
    let (_directory, store) = directory_and_store();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50 {
        let writer = Arc::new(begin(&store, &format!("s{number}")));
        for _ in 0..4 {
            let writer = Arc::clone(&writer);
            tasks.spawn(async move {
                for _ in 0..10 {
                    writer.append(&run("r"), said("x")).await.unwrap();
                }
                writer.flush().await.unwrap();
            });
        }
    }
    tasks.join_all().await;
    for number in 0..50 {
        let events = store.events(&session(&format!("s{number}")), 0, 100).unwrap();
        assert_eq!(events.len(), 40);
        assert!(
            events
                .iter()
                .zip(1..)
                .all(|(event, sequence)| event.sequence == sequence)
        );
    }
}

#[tokio::test]
async fn the_last_handle_writes_what_is_left() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one", "two"]).await;
    drop((writer, store));
    assert_eq!(texts(&open(directory.path()), "a"), "1 one, 2 two");
}

#[tokio::test]
async fn append_waits_while_too_much_is_waiting() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    writer.flush().await.unwrap();
    let held = hold(directory.path());
    let large = "x".repeat(1 << 20);
    for _ in 0..31 {
        writer.append(&run("r"), said(large.clone())).await.unwrap();
    }
    let one_run = run("r");
    let mut waiting = Box::pin(writer.append(&one_run, said(large)));
    assert!(is_pending(&mut waiting));
    drop(held);
    assert_eq!(waiting.await.unwrap().sequence, 32);
    writer.flush().await.unwrap();
    assert_eq!(store.session(&session("a")).unwrap().unwrap().events, 32);
}
