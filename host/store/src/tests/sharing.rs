//! Several processes on one data directory, played by several stores.

use std::sync::Barrier;

use crate::NewWorkspace;
use crate::WorkspaceKind;
use sandbar_protocol::WorkspaceId;

use super::*;

#[test]
fn a_fresh_directory_can_be_opened_by_many_at_once() {
    let directory = TempDir::new().unwrap();
    let fresh = directory.path().join("deep/data");
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                open(&fresh).sessions(1, None).unwrap();
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_write_different_sessions_at_the_same_time() {
    let (directory, first) = directory_and_store();
    let second = open(directory.path());
    let write = |store: Store, name: &'static str| async move {
        let writer = begin(&store, name);
        for _ in 0..50 {
            append(&writer, &["x"]).await;
            writer.flush().await.unwrap();
        }
    };
    tokio::join!(write(first.clone(), "a"), write(second.clone(), "b"));
    assert_eq!(second.events(&session("a"), 0, 100).unwrap().len(), 50);
    assert_eq!(first.events(&session("b"), 0, 100).unwrap().len(), 50);
}

#[tokio::test]
async fn a_session_has_one_writer() {
    let (directory, first) = directory_and_store();
    let second = open(directory.path());
    let writer = begin(&first, "a");
    append(&writer, &["one"]).await;
    writer.flush().await.unwrap();

    let pid = std::process::id().to_string();
    for store in [&first, &second] {
        let error = store.write_session(&session("a")).await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.kind),
            ("session-busy", sandbar_protocol::ErrorKind::Busy)
        );
        assert!(error.retryable);
        assert!(error.message.contains(&pid), "{}", error.message);
    }
    // Being refused has not disturbed the one that has it.
    append(&writer, &["two"]).await;
    writer.flush().await.unwrap();

    // In the same process it is free at once, in another when the release is written.
    drop(writer);
    drop(first.write_session(&session("a")).await.unwrap());
    drop(first);
    let writer = second.write_session(&session("a")).await.unwrap();
    append(&writer, &["three"]).await;
    writer.flush().await.unwrap();
    assert_eq!(texts(&second, "a"), "1 one, 2 two, 3 three");
    let fence: i64 = sql(directory.path())
        .query_row("SELECT fence FROM leases", [], |row| row.get(0))
        .unwrap();
    assert_eq!(fence, 3);
}

#[tokio::test]
async fn the_lease_of_a_dead_process_is_free() {
    let (directory, store) = directory_and_store();
    store.create_session(new_session("a")).await.unwrap();
    let left_behind = directory.path().join("processes/dead.lock");
    std::fs::write(&left_behind, "1").unwrap();
    sql(directory.path())
        .execute("INSERT INTO leases VALUES ('a', 'dead', 7)", [])
        .unwrap();
    let writer = store.write_session(&session("a")).await.unwrap();
    append(&writer, &["one"]).await;
    writer.flush().await.unwrap();

    // The next to open the directory tidies up.
    drop(open(directory.path()));
    assert!(!left_behind.exists());
    drop((writer, store));
    assert_eq!(
        std::fs::read_dir(directory.path().join("processes")).unwrap().count(),
        0
    );
}

#[tokio::test]
async fn a_lost_lease_fails_the_append() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one"]).await;
    writer.flush().await.unwrap();
    sql(directory.path())
        .execute("UPDATE leases SET process = 'other', fence = fence + 1", [])
        .unwrap();
    append(&writer, &["two"]).await;
    assert_eq!(writer.flush().await.unwrap_err().code, "lease-lost");
    assert_eq!(texts(&store, "a"), "1 one");
    // The successor's lease stays its own.
    drop((writer, store));
    let holder: String = sql(directory.path())
        .query_row("SELECT process FROM leases", [], |row| row.get(0))
        .unwrap();
    assert_eq!(holder, "other");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_lease() {
    let (directory, store) = directory_and_store();
    store.create_session(new_session("a")).await.unwrap();
    let held = hold(directory.path());
    assert!(is_pending(store.write_session(&session("a"))));
    drop(held);
    drop(store.write_session(&session("a")).await.unwrap());
    drop(store);
    let free: bool = sql(directory.path())
        .query_row("SELECT process IS NULL FROM leases", [], |row| row.get(0))
        .unwrap();
    assert!(free);
}

#[tokio::test]
async fn ids_are_used_once() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one"]).await;
    writer.flush().await.unwrap();
    drop(writer);

    assert_eq!(
        store.create_session(new_session("a")).await.unwrap_err().code,
        "session-exists"
    );
    let again = begin(&store, "a");
    append(&again, &["lost"]).await;
    assert_eq!(again.flush().await.unwrap_err().code, "session-exists");
    drop(again);
    assert_eq!(texts(&store, "a"), "1 one");
    assert_eq!(
        store.write_session(&session("b")).await.unwrap_err().code,
        "session-not-found"
    );

    let workspace = NewWorkspace {
        id: WorkspaceId::parse("w").unwrap(),
        kind: WorkspaceKind::User,
        path: directory.path().to_owned(),
    };
    store.create_workspace(workspace.clone()).await.unwrap();
    // Another session, or another process, that sees the same directory.
    store.create_workspace(workspace.clone()).await.unwrap();
    let elsewhere = NewWorkspace {
        path: "/elsewhere".into(),
        ..workspace.clone()
    };
    assert_eq!(
        store.create_workspace(elsewhere).await.unwrap_err().code,
        "workspace-exists"
    );
    let found = store.workspace(&workspace.id).unwrap().unwrap();
    assert_eq!((found.kind, found.path), (workspace.kind, workspace.path));
    let nowhere = NewSession {
        workspace: Some(WorkspaceId::parse("nowhere").unwrap()),
        ..new_session("c")
    };
    assert_eq!(
        store.create_session(nowhere).await.unwrap_err().code,
        "workspace-not-found"
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_enter_the_data_directory() {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = TempDir::new().unwrap();
    let check = |name: &str, existing: Option<u32>| {
        let directory = parent.path().join(name);
        if let Some(mode) = existing {
            std::fs::create_dir(&directory).unwrap();
            std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        drop(open(&directory));
        let mode = directory.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{name}: {mode:o}");
    };
    check("new", None);
    check("open-to-all", Some(0o777));
    check("readable", Some(0o755));
    check("private", Some(0o700));
}
