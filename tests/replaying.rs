//! Replay: what the pattern decided, decided again. Nothing is called, nothing is written.

use std::time::Duration;

use sandbar::protocol::{Action, RunId, StopReason};
use sandbar::{Attended, Replay, Runtime};

use crate::support::desk::Desk;
use crate::support::ran::Ran;
use crate::support::script::{asks, asks_once};
use crate::support::world::{World, ask_in, request_in};

/// Replays a run and sees to it that the journal stays as it is.
async fn replay(runtime: &Runtime, run: &RunId) -> Replay {
    let store = runtime.store();
    let session = store.run(run).unwrap().session;
    let before = (store.events(&session, 0, 1000).unwrap(), store.runs(&session).unwrap());
    let commits = store.commits();
    let replay = runtime.replay(run).await.unwrap();
    assert_eq!(
        (store.events(&session, 0, 1000).unwrap(), store.runs(&session).unwrap()),
        before
    );
    assert_eq!((store.commits(), store.holder(&session).unwrap()), (commits, None));
    replay
}

/// Each step: whether it agrees, and the actions then and now.
fn told(replay: &Replay) -> Vec<String> {
    let kinds = |actions: &[Action]| {
        let kinds = actions.iter().map(|action| {
            serde_json::to_value(action).unwrap()["action"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        kinds.collect::<Vec<_>>().join("+")
    };
    let steps = replay.steps.iter().map(|step| {
        let now = step
            .decided
            .as_ref()
            .map_or_else(ToString::to_string, |decided| kinds(&decided.actions));
        format!(
            "{} {} {} {now}",
            step.step,
            step.agrees(),
            kinds(&step.recorded.actions)
        )
    });
    steps.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_calls_nothing_and_changes_nothing() {
    let desk = Desk::new();
    let calls = asks(&[("desk__look", r#"{"text":"a"}"#), ("desk__send", r#"{"text":"b"}"#)]);
    let world = World::new()
        .desk(&desk)
        .script(asks_once("desk__set", r#"{"text":"before"}"#) + &calls + "[[reply]]\ntext = \"done\"\n");
    let runtime = world.open().await;
    ask_in(&runtime, "talk", "first").await;
    let ran = ask_in(&runtime, "talk", "go").await;
    runtime.close().await;
    let called = desk.calls();
    assert_eq!(called.len(), 3);

    // With this script no model can answer, and without a desk there are no tools.
    let world = world.script("").desk(&Desk::new());
    let runtime = world.open().await;
    let replay = replay(&runtime, &ran.result.run).await;
    assert!(replay.agrees());
    assert_eq!(
        (replay.pattern.as_str(), &replay.digest),
        ("react", &replay.recorded_digest)
    );
    assert_eq!(
        told(&replay),
        [
            "1 true model model",
            "2 true tools tools",
            "3 true model model",
            "4 true finish finish"
        ]
    );
    // What the model saw has the session's earlier run in it.
    let seen: Vec<Vec<&str>> = replay
        .seen
        .values()
        .map(|messages| messages.iter().map(|message| message.text.as_str()).collect())
        .collect();
    let before = ["first", "", "set: before", "done", "go"];
    assert_eq!(
        seen,
        [before.to_vec(), [&before[..], &["", "look: a", "send: b"]].concat()]
    );
    assert_eq!(desk.calls(), called);
    assert_eq!(
        runtime.replay(&RunId::parse("nobody").unwrap()).await.unwrap_err().code,
        "run-not-found"
    );
    runtime.close().await;
}

/// A pattern's clock and its random numbers are the run's, so that a pattern that uses them agrees with itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_and_random_numbers_are_those_of_the_run() {
    let world = World::new().guest("pattern_probe").pattern("pattern_probe");
    let runtime = world.open().await;
    let ran = ask_in(&runtime, "talk", "random\nartifact a text\nrandom\nview").await;
    assert_eq!(ran.result.text.matches("random ").count(), 2);
    runtime.close().await;
    world.forward(Duration::from_hours(24));
    let runtime = world.open().await;
    let replay = replay(&runtime, &ran.result.run).await;
    assert!(replay.agrees(), "{:#?}", replay.steps);
    runtime.close().await;
}

/// Its recording ends where it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_is_replayed_as_far_as_it_got() {
    let desk = Desk::new();
    let world = World::new()
        .desk(&desk)
        .script(asks_once("desk__pay", r#"{"text":"rent"}"#));
    let runtime = world.open().await;
    let ran = Ran::read(
        runtime
            .run_attended(request_in("talk", "go"), Attended::Nobody)
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(ran.result.stop_reason, StopReason::Suspended);
    runtime.close().await;
    assert_eq!(
        told(&replay(&runtime, &ran.result.run).await),
        ["1 true model model", "2 true tools tools"]
    );
    assert!(desk.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_that_decides_otherwise_is_caught() {
    let desk = Desk::new();
    let world = World::new()
        .desk(&desk)
        .script(asks_once("desk__set", r#"{"text":"a"}"#));
    let runtime = world.open().await;
    let ran = ask_in(&runtime, "talk", "go").await;
    runtime.close().await;
    let world = world.guest_as("pattern_hasty", "react");
    let runtime = world.open().await;
    let replay = replay(&runtime, &ran.result.run).await;
    assert!(!replay.agrees());
    assert_ne!(replay.digest, replay.recorded_digest);
    assert_eq!(
        told(&replay),
        [
            "1 true model model",
            "2 false tools finish",
            "3 true model model",
            "4 false finish finish"
        ]
    );
    assert_eq!(desk.calls(), ["set a"]);
    runtime.close().await;
}

/// One that fails now is no worse than one that decides otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_that_fails_now_is_caught() {
    let world = World::new().script("[[reply]]\ntext = \"done\"\n");
    let runtime = world.open().await;
    let ran = ask_in(&runtime, "talk", "go").await;
    runtime.close().await;
    let world = world.guest_as("pattern_trap", "react");
    let runtime = world.open().await;
    let replay = replay(&runtime, &ran.result.run).await;
    assert!(!replay.agrees());
    let codes: Vec<String> = replay
        .steps
        .iter()
        .map(|step| step.decided.as_ref().unwrap_err().code.clone())
        .collect();
    assert_eq!(codes, ["plugin-trapped", "plugin-trapped"]);
    runtime.close().await;
}
