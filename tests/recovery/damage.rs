//! A journal that the disk has damaged: what is before the damage is read, and nothing is built on what is behind it.

use sandbar::Attended;
use sandbar::protocol::StopReason;
use sandbar::store::{Store, StoreOptions};

use crate::support::desk::Desk;
use crate::support::ran::Ran;
use crate::support::script::{asks, asks_once};
use crate::support::world::{World, ask_in, request_in};

/// A text that only the first tool's result has, so that it is found in the file.
const MARK: &str = "look: between the lines";

/// A session that waits for an approval, and a byte in the middle of its journal that is another.
async fn damaged() -> (World, Desk) {
    let replies =
        asks_once("desk__look", r#"{"text":"between the lines"}"#) + &asks(&[("desk__pay", r#"{"text":"rent"}"#)]);
    let desk = Desk::new();
    let world = World::new().desk(&desk).script(replies);
    let runtime = world.open().await;
    ask_in(&runtime, "talk", "go").await;
    let waits = Ran::read(runtime.run(request_in("talk", "pay")).await.unwrap()).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    runtime.close().await;
    drop(runtime);

    // Who opens the journal and reads nothing leaves all of it in one file.
    drop(Store::open(&world.data(), StoreOptions::default()).unwrap());
    assert!(!world.data().join("sandbar.db-wal").exists());
    let path = world.data().join("sandbar.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // A page that was divided may still have what has moved, where nobody reads it.
    let places: Vec<usize> = (0..bytes.len())
        .filter(|place| bytes[*place..].starts_with(MARK.as_bytes()))
        .collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place] ^= 1;
    }
    std::fs::write(&path, bytes).unwrap();
    (world, desk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_a_damaged_event_is_read_up_to_it_and_not_continued() {
    let (world, desk) = damaged().await;
    let runtime = world.open().await;
    let store = runtime.store();
    let unfinished = store.unfinished_runs().unwrap().remove(0);

    let damage = store.events(&unfinished.session, 0, 1000).unwrap_err();
    assert_eq!(damage.code, "journal-corrupt");
    assert!(
        damage.message.starts_with("event 7 of session `talk` is damaged"),
        "{damage}"
    );
    let before = store.events(&unfinished.session, 0, 6).unwrap();
    assert_eq!(before.last().unwrap().body.name(), "tool.started", "{before:?}");

    let refused = [
        runtime.run(request_in("talk", "and now?")).await.unwrap_err(),
        runtime.resume(&unfinished.id, Attended::Nobody).await.unwrap_err(),
        runtime.replay(&unfinished.id).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.message, damage.message);
    }
    let other = ask_in(&runtime, "other", "go").await;
    assert_eq!(other.result.text, "done");
    assert_eq!(desk.calls(), ["look between the lines", "look between the lines"]);
    runtime.close().await;
}
