//! A full disk, damaged rows, a newer database: what was committed stays readable.

use std::path::PathBuf;

use super::*;

fn limited(directory: &Path) -> Store {
    let options = StoreOptions {
        max_bytes: Some(1 << 20),
        ..options()
    };
    Store::open(directory, options).unwrap()
}

#[tokio::test]
async fn a_full_disk_fails_one_session_and_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let store = limited(directory.path());
    let (greedy, modest) = (begin(&store, "greedy"), begin(&store, "modest"));
    append(&greedy, &["one", "two"]).await;
    greedy.flush().await.unwrap();
    let mut reader = greedy.subscribe(0);

    // Both in one transaction, which can't be committed.
    let held = hold(directory.path());
    append(&greedy, &["three", &"x".repeat(2 << 20), "five"]).await;
    append(&modest, &["fits"]).await;
    // So many that they take a second transaction: those that follow a failed one must not be written after a gap.
    append(&greedy, &["x"; crate::queue::MAX_BATCH]).await;
    drop(held);
    let error = greedy.flush().await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.kind),
        ("journal-full", sandbar_protocol::ErrorKind::Storage)
    );
    assert!(
        error
            .hint
            .as_ref()
            .unwrap()
            .contains("nothing that was committed is lost")
    );
    modest.flush().await.unwrap();

    assert_eq!(texts(&store, "modest"), "1 fits");
    assert_eq!(greedy.append(&run("r"), said("late")).await.unwrap_err(), error);
    assert_eq!(greedy.flush().await.unwrap_err(), error);
    let seen = drain(&mut reader).await;
    assert!(
        ["1 one, 2 two, !journal-full", "1 one, 2 two, 3 three, !journal-full"].contains(&seen.as_str()),
        "{seen}"
    );

    // Opened anew, it goes on where the commits ended.
    let committed = store.session(&session("greedy")).unwrap().unwrap().events;
    drop(greedy);
    let again = store.write_session(&session("greedy")).await.unwrap();
    assert_eq!(again.head(), committed);
    assert_eq!(
        again.append(&run("r"), said("on")).await.unwrap().sequence,
        committed + 1
    );
    again.flush().await.unwrap();
    assert!(texts(&store, "greedy").ends_with(&format!("{} on", committed + 1)));
}

#[tokio::test]
async fn a_journal_in_memory_can_be_full_too() {
    let options = StoreOptions {
        max_bytes: Some(300 << 10),
        ..options()
    };
    let store = Store::in_memory(options).unwrap();
    let writer = begin(&store, "a");
    append(&writer, &["one", &"x".repeat(1 << 20)]).await;
    assert_eq!(writer.flush().await.unwrap_err().code, "journal-full");
}

/// Damages a journal of five events, the fourth a blob, and reads it.
async fn check_damage(statement: &str, readable: &str, problem: &str) {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one", "two", "three", &"x".repeat(40_000), "five"]).await;
    writer.flush().await.unwrap();
    drop(writer);
    assert_eq!(sql(directory.path()).execute(statement, []).unwrap(), 1, "{statement}");

    let error = store.events(&session("a"), 0, 10).unwrap_err();
    assert_eq!(error.code, "journal-corrupt");
    assert!(error.message.contains("session `a`"), "{}", error.message);
    assert!(error.message.contains(problem), "{}", error.message);

    let mut reader = store.subscribe(&session("a"), 0).unwrap();
    let seen = drain(&mut reader).await;
    assert_eq!(seen, format!("{readable}, !journal-corrupt"));
    let count = readable.split(", ").count();
    assert_eq!(shown(&store.events(&session("a"), 0, count).unwrap()), readable);
}

#[tokio::test]
async fn a_damaged_row_is_named_and_those_before_it_are_readable() {
    let unfit = "event 3 of session `a` is damaged: its checksum doesn't fit";
    let two = "1 one, 2 two";
    check_damage(
        r#"UPDATE events SET body = replace(body, 'three', 'THREE') WHERE sequence = 3"#,
        two,
        unfit,
    )
    .await;
    check_damage("UPDATE events SET run = 'other' WHERE sequence = 3", two, unfit).await;
    check_damage("UPDATE events SET at_ms = at_ms + 1 WHERE sequence = 3", two, unfit).await;
    check_damage("UPDATE events SET type = 'other' WHERE sequence = 3", two, unfit).await;
    check_damage(
        "UPDATE events SET body = NULL WHERE sequence = 3",
        two,
        "event 3 of session `a` is damaged: it has no body",
    )
    .await;
    check_damage("UPDATE events SET checksum = x'00' WHERE sequence = 3", two, "event 3").await;
    check_damage("DELETE FROM events WHERE sequence = 3", two, "the next one found is 4").await;
    check_damage(
        "UPDATE blobs SET bytes = zeroblob(40000)",
        "1 one, 2 two, 3 three",
        "event 4 of session `a` is damaged: the blob",
    )
    .await;
}

#[tokio::test]
async fn a_row_of_another_history_does_not_fit_into_the_chain() {
    let ((directory, store), (other_directory, other)) = (directory_and_store(), directory_and_store());
    for (store, second) in [(&store, "two"), (&other, "TWO")] {
        let writer = begin(store, "a");
        append(&writer, &["one", second, "three"]).await;
        writer.flush().await.unwrap();
    }
    let attach = format!(
        "ATTACH '{}' AS other",
        other_directory.path().join("sandbar.db").display()
    );
    let connection = sql(directory.path());
    connection.execute(&attach, []).unwrap();
    let copy = "REPLACE INTO main.events SELECT * FROM other.events WHERE sequence = 2";
    assert_eq!(connection.execute(copy, []).unwrap(), 1);
    assert_eq!(shown(&store.events(&session("a"), 0, 2).unwrap()), "1 one, 2 TWO");
    let error = store.events(&session("a"), 0, 3).unwrap_err();
    assert!(error.message.starts_with("event 3 of session `a`"), "{}", error.message);
}

#[tokio::test]
async fn a_session_whose_last_row_is_gone_is_not_written() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one", "two"]).await;
    writer.flush().await.unwrap();
    drop(writer);
    sql(directory.path())
        .execute("DELETE FROM events WHERE sequence = 2", [])
        .unwrap();
    let error = store.write_session(&session("a")).await.unwrap_err();
    assert_eq!(error.code, "journal-corrupt");
    assert!(error.message.starts_with("event 2 of session `a`"), "{}", error.message);
}

#[test]
fn a_newer_journal_is_refused_untouched() {
    let directory = TempDir::new().unwrap();
    drop(open(directory.path()));
    sql(directory.path()).pragma_update(None, "user_version", 99).unwrap();
    let database = directory.path().join("sandbar.db");
    let before = std::fs::read(&database).unwrap();
    let error = Store::open(directory.path(), options()).unwrap_err();
    assert_eq!(error.code, "journal-newer");
    assert!(error.message.contains("version 99"), "{}", error.message);
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[test]
fn a_place_that_can_not_be_a_data_directory_is_an_error_with_a_hint() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let foreign = directory.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(
        foreign.join("sandbar.db"),
        "this is not a database, but it is long enough".repeat(100),
    )
    .unwrap();
    let check = |path: PathBuf, code: &str| {
        let error = Store::open(&path, options()).unwrap_err();
        assert_eq!(error.code, code, "{}", error.message);
        assert!(error.hint.is_some());
    };
    check(file.join("below"), "journal-failed");
    check(file, "journal-failed");
    check(foreign, "journal-corrupt");
}
