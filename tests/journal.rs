//! Events are committed before they are shown, and sessions outlive the runtime that began them.

use std::io::{Seek, SeekFrom, Write};

use sandbar::protocol::{EventBody, RunRequest, SessionId, StopReason, StreamItem};
use sandbar::store::{Store, StoreOptions};

use crate::support::ran::{Ran, finished};
use crate::support::script::{asks, asks_once, says};
use crate::support::world::{World, ask_in, request_in};

/// Another connection to the same journal, as another process has one.
fn other_store(world: &World) -> Store {
    Store::open(&world.path("data"), StoreOptions::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_is_in_the_journal() {
    let script = asks_once("echo__echo", r#"{"text":"a"}"#);
    let world = World::new().guest("echo").tools(&["echo"]).script(script);
    let runtime = world.open().await;
    let other = other_store(&world);
    let mut stream = runtime.run(RunRequest::new("go")).await.unwrap();
    let session = stream.session().clone();
    let mut seen = 0;
    while let Some(item) = stream.next().await {
        if let StreamItem::Event(event) = item.unwrap() {
            seen += 1;
            assert_eq!(event.sequence, seen, "no gap");
            assert_eq!(other.events(&session, seen - 1, 1).unwrap(), [(*event).clone()]);
        }
    }
    assert_eq!(seen, 12);
    assert_eq!(other.events(&session, 0, 100).unwrap().len(), 12, "and nothing else is");
    let runs = other.runs(&session).unwrap();
    assert_eq!(other.effects(&runs[0].id).unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_in_another_runtime() {
    let third = "[[reply]]\nexpect = { messages = 5, last = \"three\" }\ntext = \"I know all of it.\"\n";
    let second = "[[reply]]\nexpect = { messages = 3, last = \"two\" }\ntext = \"second\"\n";
    let world = World::new().script(says("first") + second + third);
    let runtime = world.open().await;
    assert_eq!(ask_in(&runtime, "talk", "one").await.result.text, "first");
    assert_eq!(ask_in(&runtime, "talk", "two").await.result.text, "second");
    drop(runtime);
    let runtime = world.open().await;
    assert_eq!(ask_in(&runtime, "talk", "three").await.result.text, "I know all of it.");
}

/// Whoever has seen the end of a run may start the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_follows_the_other_at_once() {
    let turns = 100;
    let script: String = (0..turns).map(|turn| says(&turn.to_string())).collect();
    let world = World::new().script(script);
    let runtime = world.open().await;
    for turn in 0..turns {
        let mut stream = runtime
            .run(request_in("talk", "next"))
            .await
            .unwrap_or_else(|error| panic!("turn {turn}: {error}"));
        let result = loop {
            if let StreamItem::Event(event) = stream.next().await.unwrap().unwrap()
                && let EventBody::RunFinished(result) = &event.body
            {
                break result.clone();
            }
        };
        assert_eq!(result.text, turn.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_when_nobody_reads_it() {
    let script = asks_once("echo__slow", r#"{"ms":20}"#);
    let world = World::new().guest("echo").tools(&["echo"]).script(script);
    let runtime = world.open().await;
    let stream = runtime.run(RunRequest::new("go")).await.unwrap();
    let session = stream.session().clone();
    drop(stream);
    runtime.close().await;
    let events = other_store(&world).events(&session, 0, 100).unwrap();
    let Some(EventBody::RunFinished(result)) = events.last().map(|event| &event.body) else {
        panic!("{events:?}")
    };
    assert_eq!(finished(result), "finished (done) \"done\" steps 4 tools 1 models 2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_one_writer() {
    let world = World::new().script("[[reply]]\nhang = true\n");
    let (one, other) = (world.open().await, world.open().await);
    let mut first = one.run(request_in("talk", "go")).await.unwrap();
    // What is shown is committed, and the lease with it.
    first.next().await.unwrap().unwrap();
    for runtime in [&one, &other] {
        let error = runtime.run(request_in("talk", "me too")).await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.retryable),
            ("session-busy", true),
            "{error}"
        );
        let holder = std::process::id().to_string();
        assert!(
            error.message.starts_with("the session `talk` is in use by process ") && error.message.contains(&holder)
        );
        assert!(error.hint.is_some());
    }
    first.cancel();
    assert_eq!(Ran::collect(first).await.result.stop_reason, StopReason::Cancelled);
    one.close().await;
    drop(one);
    let next = other.run(request_in("talk", "now")).await.unwrap();
    next.cancel();
    assert_eq!(Ran::collect(next).await.result.stop_reason, StopReason::Cancelled);
}

/// A journal that is full ends the run with an error, keeps what it has, and goes on when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal() {
    let mut world = World::new()
        .guest("echo")
        .tools(&["echo"])
        .script(asks_once("echo__big", r#"{"bytes":900000}"#) + &says("There is room."));
    let earlier = world.ask("before").await;
    assert_eq!(earlier.result.stop_reason, StopReason::Finished);
    world.max_journal_bytes = Some(std::fs::metadata(world.path("data/sandbar.db")).unwrap().len() + 100_000);
    let runtime = world.open().await;
    let mut stream = runtime.run(request_in("tight", "go")).await.unwrap();
    let error = loop {
        match stream.next().await.expect("the run ends with an error") {
            Ok(StreamItem::Event(event)) => assert!(!matches!(event.body, EventBody::RunFinished(_)), "{event:?}"),
            Ok(StreamItem::Delta(_)) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, "journal-full");
    assert!(
        error
            .hint
            .as_ref()
            .is_some_and(|hint| hint.contains("free some space or raise the limit")),
        "{error:?}"
    );
    assert!(stream.next().await.is_none());
    runtime.close().await;
    let store = runtime.store();
    let known = store.events(&earlier.session, 0, 100).unwrap().len();
    assert_eq!(known, earlier.events().count());
    let kept = store.events(&SessionId::parse("tight").unwrap(), 0, 100).unwrap();
    assert!(!kept.is_empty());
    drop(runtime);
    world.max_journal_bytes = None;
    let runtime = world.open().await;
    let ran = ask_in(&runtime, "tight", "go on").await;
    assert!(
        ran.events().next().unwrap().sequence == kept.len() as u64 + 1,
        "what was there is still there"
    );
    // The run that could not go on is continued first, with the reply that was given before the disk was full.
    assert_eq!(ran.result.text, "There is room.", "{:#?}", ran.lines());
    let runs = runtime.store().runs(&ran.session).unwrap();
    let ended: Vec<_> = runs.iter().map(|run| run.stop_reason).collect();
    assert_eq!(ended, [Some(StopReason::Finished); 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_a_newer_version_is_left_alone() {
    let world = World::new().script(says("hi"));
    world.ask("go").await;
    let path = world.path("data/sandbar.db");
    // SQLite keeps the version of the user's tables in these four bytes.
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(60)).unwrap();
    file.write_all(&99_u32.to_be_bytes()).unwrap();
    drop(file);
    let before = std::fs::read(&path).unwrap();
    let error = world.try_open().await.unwrap_err();
    assert_eq!(error.code, "journal-newer");
    assert_eq!(
        error.message,
        "the journal has version 99, and this Sandbar knows versions up to 5"
    );
    assert!(std::fs::read(&path).unwrap() == before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_told_and_not_overwritten() {
    let world = World::new().script(says("hi"));
    world.ask("go").await;
    let path = world.path("data/sandbar.db");
    std::fs::write(
        &path,
        "this is no database, and it is longer than the header of one would be, which has 100 bytes",
    )
    .unwrap();
    let error = world.try_open().await.unwrap_err();
    assert_eq!(error.code, "journal-corrupt");
    assert!(error.hint.is_some_and(|hint| hint.contains("`sandbar.db`")));
    assert!(world.read("data/sandbar.db").starts_with("this is no database"));
}

/// The bytes of all events of a run with so many tool calls, one after the other.
async fn bytes_of_a_run(calls: usize) -> usize {
    let replies: String = (0..calls)
        .map(|call| asks(&[("echo__echo", &format!("{{\"text\":\"call {call:03}\"}}"))]))
        .collect();
    let world = World::new()
        .guest("echo")
        .tools(&["echo"])
        .agent("limits = { steps = 1000, tool_calls = 1000 }")
        .script(replies + &says("done"));
    let ran = world.ask("go").await;
    assert_eq!((ran.result.text.as_str(), ran.calls().len()), ("done", calls));
    ran.events()
        .map(|event| serde_json::to_string(event).unwrap().len())
        .sum()
}

/// A step writes what it adds, and not again what was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_grows_with_its_steps_and_not_with_their_square() {
    let mut bytes = Vec::new();
    for calls in [2, 8, 32, 128] {
        bytes.push((calls, bytes_of_a_run(calls).await));
    }
    let per_call: Vec<usize> = bytes
        .windows(2)
        .map(|pair| (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0))
        .collect();
    // Numbers become longer by a digit now and then.
    let (least, most) = (per_call.iter().min().unwrap(), per_call.iter().max().unwrap());
    assert!(most * 100 <= least * 103, "bytes for each further call: {per_call:?}");
}
