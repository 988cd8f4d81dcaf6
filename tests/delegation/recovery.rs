//! A run that was cut off while somebody worked for it: both go on from their journals, and nothing is done twice.

use sandbar::protocol::{Event, EventBody, RunId, RunResult, StopReason};
use sandbar::{Attended, Config, Runtime};
use serde_json::json;

use super::{TEXT, chief, children, read_in};
use crate::support::cut::{Recording, essence};
use crate::support::desk::Desk;
use crate::support::person::go_on;
use crate::support::ran::Ran;
use crate::support::script::{asks, says};
use crate::support::world::World;

const TASK: &str =
    "tools desk__look {\"text\":\"first\"}\ndelegate helper go\ntools desk__set {\"text\":\"last\"}\nfinish";

fn helper() -> String {
    asks(&[("desk__look", TEXT), ("desk__set", TEXT), ("desk__pay", TEXT)])
        + "usage = { input_tokens = 8 }\n"
        + &says("paid")
}

/// The top run to its end, whoever asks what.
async fn bring_to_an_end(runtime: &Runtime, run: &RunId) -> RunResult {
    let found = runtime.store().run(run).unwrap();
    if found.stop_reason.is_none() {
        let mut ran = Ran::read(runtime.resume(run, Attended::Nobody).await.unwrap()).await;
        while ran.result.stop_reason == StopReason::Suspended {
            let asked = runtime.store().open_suspensions().unwrap().remove(0).suspension;
            ran = go_on(runtime, &asked.id, &json!({ "decision": "once" })).await;
        }
    }
    runtime.close().await;
    let found = runtime.store().run(run).unwrap();
    let last = found.last_sequence.expect("it has ended");
    match &runtime.store().events(&found.session, last - 1, 1).unwrap()[0].body {
        EventBody::RunFinished(result) => result.clone(),
        other => panic!("{other:?}"),
    }
}

/// What was called by the events of both sessions, and ended.
fn ended_calls(events: &[&Event]) -> usize {
    let ended = events
        .iter()
        .filter(|event| matches!(event.body, EventBody::ToolFinished { .. }));
    ended.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_a_run_and_its_helper_are_cut_off_they_end_as_the_whole_ones_did() {
    let desk = Desk::new();
    let mut world = chief(&desk, &helper());
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", TASK).await;
    let [child] = children(&waits).try_into().unwrap();
    let run = waits.result.run.clone();
    let expected = bring_to_an_end(&runtime, &run).await;
    assert_eq!((expected.stop_reason, expected.tool_calls), (StopReason::Finished, 6));
    assert_eq!(expected.text, "delegate: paid");
    let calls = desk.calls();
    assert_eq!(calls, ["look first", "look a", "set a", "pay a", "set last"]);
    let (above, below) = (
        Recording::of(&runtime, &waits.session),
        Recording::of(&runtime, &child.session),
    );
    // In the order in which they were appended.
    let mut all: Vec<&Event> = above.events.iter().chain(&below.events).collect();
    all.sort_by_key(|event| event.at_ms);
    for events in 1..all.len() {
        let (kept, last) = (&all[..events], all[events - 1].body.name());
        let of = |session| kept.iter().filter(|event| event.session == session).count();
        // What a dead process has begun and not ended can't be told from a call that a person must look at: all of these may be repeated,
        // but for the payment.
        if kept
            .last()
            .is_some_and(|event| matches!(&event.body, EventBody::ToolStarted { name, .. } if name == "desk__pay"))
        {
            continue;
        }
        world = world.data_dir(&format!("cut-{events}"));
        above.cut(&world, of(waits.session.clone())).await;
        if of(child.session.clone()) > 0 {
            below.cut_beside(&world, of(child.session.clone())).await;
        }
        let desk = Desk::new();
        world = world.desk(&desk);
        let runtime = world.open().await;
        let mut result = bring_to_an_end(&runtime, &run).await;
        result.wall_ms = expected.wall_ms;
        assert_eq!(result, expected, "cut after event {events}, {last}");
        assert_eq!(
            desk.calls(),
            calls[ended_calls(kept)..],
            "cut after event {events}, {last}"
        );
        for (recording, session) in [(&above, &waits.session), (&below, &child.session)] {
            let continued = Recording::of(&runtime, session);
            assert_eq!(
                essence(&continued.events),
                essence(&recording.events),
                "cut after event {events}, {last}"
            );
        }
        assert!(runtime.store().unfinished_runs().unwrap().is_empty());
        assert!(runtime.replay(&run).await.unwrap().agrees());
    }
}

/// The other agent is gone from the configuration, or what decides for it is: the task fails, and nobody waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_that_can_not_go_on_is_ended() {
    let desk = Desk::new();
    let world = chief(&desk, &helper());
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", TASK).await;
    let [child] = children(&waits).try_into().unwrap();
    runtime.close().await;
    let text = world
        .config_text()
        .replace("[agents.helper]", "[agents.other]")
        .replace("delegates = [\"helper\"]", "delegates = [\"other\"]");
    let config = Config::from_toml(&text, &world.path("")).unwrap();
    let runtime = Runtime::open_with(config, world.options()).await.unwrap();
    let ran = Ran::collect(runtime.resume(&waits.result.run, Attended::Nobody).await.unwrap()).await;
    assert!(
        ran.result
            .text
            .starts_with("delegate-failed: error [no-agent]: there is no agent `helper`"),
        "{}",
        ran.result.text
    );
    assert_eq!(
        runtime.store().run(&child.run).unwrap().stop_reason,
        Some(StopReason::Cancelled)
    );
    assert!(runtime.store().open_suspensions().unwrap().is_empty());
    runtime.close().await;
    assert_eq!(desk.calls(), ["look first", "look a", "set a", "set last"]);
}

/// What waits is not told from what was cut off, so that each continuation is an attempt: the helper is always the same one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_has_one_helper() {
    let desk = Desk::new();
    let world: World = chief(&desk, &helper());
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", TASK).await;
    for attempt in [2, 3] {
        let again = Ran::read(runtime.resume(&waits.result.run, Attended::Nobody).await.unwrap()).await;
        assert_eq!(
            again.lines(),
            [
                "resumed after it was cut off".to_owned(),
                format!("delegate.started helper \"go\" attempt {attempt}")
            ]
        );
        assert_eq!(children(&again), children(&waits));
    }
    assert_eq!(runtime.store().sessions(10, None).unwrap().len(), 2);
    runtime.close().await;
}
