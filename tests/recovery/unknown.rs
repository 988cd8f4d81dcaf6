//! A call that may not be repeated was cut off: a person says what became of it.

use sandbar::Attended;
use sandbar::protocol::{EventBody, RunId, StopReason, SuspensionKind};
use serde_json::{Value, json};

use crate::support::cut::Recording;
use crate::support::desk::Desk;
use crate::support::person::{Person, go_on};
use crate::support::ran::Ran;
use crate::support::script::{asks, text};
use crate::support::world::{World, ask_in};

/// A run whose process died in a call of this tool; `read` is what the model reads of it at last.
async fn cut_off_in(tool: &str, read: &str) -> (World, Desk, RunId) {
    let call = asks(&[(tool, r#"{"text":"a"}"#)]);
    let ends = |read: &str| {
        call.clone()
            + &format!(
                "[[reply]]\nexpect = {{ last = {}, messages = 3 }}\ntext = \"done\"\n",
                text(read)
            )
    };
    let world = World::new().desk(&Desk::new()).script(ends(""));
    let runtime = world.open().await;
    let whole = ask_in(&runtime, "talk", "go").await;
    let recording = Recording::of(&runtime, &whole.session);
    runtime.close().await;
    let desk = Desk::new();
    let world = world.data_dir("cut").desk(&desk).script(ends(read));
    let started = recording.up_to(|body| matches!(body, EventBody::ToolStarted { .. }));
    recording.cut(&world, started).await;
    (world, desk, whole.result.run)
}

/// The idempotency keys and attempts of a run's tool calls.
fn attempts(events: &[sandbar::protocol::Event]) -> Vec<(String, u32)> {
    let started = events.iter().filter_map(|event| match &event.body {
        EventBody::ToolStarted {
            idempotency_key,
            attempt,
            ..
        } => Some((idempotency_key.clone(), *attempt)),
        _ => None,
    });
    started.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_repeated_is_repeated_under_the_same_key() {
    for (tool, called) in [("desk__set", "set a"), ("desk__look", "look a")] {
        let (world, desk, run) = cut_off_in(tool, "^(set|look): a$").await;
        let runtime = world.open().await;
        let ran = Ran::collect(runtime.resume(&run, Attended::Nobody).await.unwrap()).await;
        assert_eq!(
            (ran.result.text.as_str(), desk.calls()),
            ("done", vec![called.to_owned()])
        );
        let attempts = attempts(&Recording::of(&runtime, &ran.session).events);
        let key = attempts[0].0.clone();
        assert_eq!(attempts, [(key.clone(), 1), (key, 2)]);
        runtime.close().await;
    }
}

/// A person's answer, what the model reads then, and whether the tool is called.
async fn check(answer: Value, read: &str, called: &[&str]) {
    let (world, desk, run) = cut_off_in("desk__send", read).await;
    let runtime = world.open().await;
    let waits = Ran::read(runtime.resume(&run, Attended::Nobody).await.unwrap()).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    let open = runtime.store().open_suspensions().unwrap();
    let [open] = open.as_slice() else { panic!("{open:?}") };
    let call = open.suspension.call.as_ref().unwrap();
    assert_eq!(open.suspension.kind, SuspensionKind::UnknownOutcome);
    assert_eq!(
        (call.tool.as_str(), &call.arguments),
        ("desk__send", &json!({ "text": "a" }))
    );
    assert!(desk.calls().is_empty(), "nobody has answered");

    let ran = go_on(&runtime, &open.suspension.id, &answer).await;
    assert_eq!(ran.result.text, "done", "{answer}: {:#?}", ran.lines());
    assert_eq!(
        (ran.result.run, desk.calls()),
        (run, called.to_vec().iter().map(|call| (*call).to_owned()).collect()),
        "{answer}"
    );
    let attempts = attempts(&Recording::of(&runtime, &ran.session).events);
    assert_eq!(attempts.len(), 1 + called.len());
    assert!(attempts.iter().all(|(key, _)| *key == attempts[0].0));
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_says_what_became_of_a_call() {
    check(json!({ "decision": "retry" }), "^send: a$", &["send a"]).await;
    let unknown = "^error \\[outcome-unknown\\]: `desk__send` was cut off: it is not known whether it happened";
    check(json!({ "decision": "skip" }), unknown, &[]).await;
    check(
        json!({ "decision": "result", "text": "sent at noon" }),
        "^sent at noon$",
        &[],
    )
    .await;
    check(json!({ "decision": "result" }), "^it happened$", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_there_is_asked_what_became_of_a_call() {
    let (world, desk, run) = cut_off_in("desk__send", "^known$").await;
    let runtime = world.open().await;
    let person = Person::default();
    let answer = json!({ "decision": "result", "text": "known" });
    let ran = Ran::collect(runtime.resume(&run, person.says(&answer)).await.unwrap()).await;
    assert_eq!(
        (ran.result.text.as_str(), person.asked().len(), desk.calls().len()),
        ("done", 1, 0)
    );
    runtime.close().await;
}

/// The second attempt is cut off, too: that is another question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_cut_off_twice() {
    let (world, _, run) = cut_off_in("desk__send", "^send: a$").await;
    let runtime = world.open().await;
    let retry = json!({ "decision": "retry" });
    Ran::read(runtime.resume(&run, Attended::Nobody).await.unwrap()).await;
    let first = runtime.store().open_suspensions().unwrap().remove(0).suspension.id;
    let ran = go_on(&runtime, &first, &retry).await;
    let recording = Recording::of(&runtime, &ran.session);
    runtime.close().await;

    let desk = Desk::new();
    let world = world.data_dir("again").desk(&desk);
    let started = recording.up_to(|body| matches!(body, EventBody::ToolStarted { attempt: 2, .. }));
    recording.cut(&world, started).await;
    let runtime = world.open().await;
    let waits = Ran::read(runtime.resume(&run, Attended::Nobody).await.unwrap()).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    let second = runtime.store().open_suspensions().unwrap().remove(0).suspension.id;
    assert_ne!(first, second);
    let ran = go_on(&runtime, &second, &retry).await;
    assert_eq!(
        (ran.result.text.as_str(), desk.calls()),
        ("done", vec!["send a".to_owned()])
    );
    assert_eq!(ran.result.tool_calls, 1);
    runtime.close().await;
}
