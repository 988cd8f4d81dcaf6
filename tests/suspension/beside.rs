//! Calls of one turn of which some wait.

use sandbar::Attended;
use sandbar::protocol::StopReason;
use serde_json::json;

use super::{open_question, read_in};
use crate::support::desk::Desk;
use crate::support::person::go_on;
use crate::support::script::{asks, says};
use crate::support::world::World;

/// One call waits, the others don't wait for it; answered, it is the only one that is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_and_those_beside_it_end() {
    let desk = Desk::new();
    let calls = [("desk__look", "a"), ("desk__pay", "b"), ("desk__set", "c")]
        .map(|(name, text)| (name, json!({ "text": text }).to_string()));
    let calls = calls.each_ref().map(|(name, arguments)| (*name, arguments.as_str()));
    let answered = "[[reply]]\nexpect = { messages = 5, last = \"^set: c$\" }\ntext = \"done\"\n";
    let world = World::new().desk(&desk).script(asks(&calls) + answered);
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", Attended::Nobody).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    assert_eq!((waits.calls().len(), desk.calls().len()), (2, 2));
    let ran = go_on(
        &runtime,
        &open_question(&runtime).suspension.id,
        &json!({ "decision": "once" }),
    )
    .await;
    assert_eq!((ran.result.text.as_str(), ran.result.tool_calls), ("done", 3));
    assert_eq!(desk.calls()[2..], ["pay b"]);
    runtime.close().await;
}

/// A word for the whole session does not outweigh a no that is given to another call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_counts_more_than_a_standing_approval() {
    let desk = Desk::new();
    let calls = asks(&[("desk__pay", r#"{"text":"rent"}"#), ("desk__pay", r#"{"text":"tax"}"#)]);
    let world = World::new().desk(&desk).script(calls + &says("done"));
    let runtime = world.open().await;
    read_in(&runtime, "talk", Attended::Nobody).await;
    let mut open = runtime.store().open_suspensions().unwrap();
    let denied = open.remove(0);
    let waits = go_on(&runtime, &open[0].suspension.id, &json!({ "decision": "session" })).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    let ran = go_on(&runtime, &denied.suspension.id, &json!({ "decision": "deny" })).await;
    assert_eq!((ran.result.text.as_str(), desk.calls().len()), ("done", 1));
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_calls_wait_and_are_answered_one_after_the_other() {
    let desk = Desk::new();
    let calls = asks(&[("desk__pay", r#"{"text":"rent"}"#), ("desk__pay", r#"{"text":"tax"}"#)]);
    let world = World::new().desk(&desk).script(calls + &says("done"));
    let runtime = world.open().await;
    read_in(&runtime, "talk", Attended::Nobody).await;
    let open = runtime.store().open_suspensions().unwrap();
    let of = |text: &str| {
        let found = open
            .iter()
            .find(|open| open.suspension.call.as_ref().unwrap().arguments["text"] == text);
        found.unwrap().suspension.id.clone()
    };
    assert_eq!(open.len(), 2);
    // The second one first.
    let waits = go_on(&runtime, &of("tax"), &json!({ "decision": "once" })).await;
    assert_eq!(
        (waits.result.stop_reason, desk.calls()),
        (StopReason::Suspended, vec!["pay tax".to_owned()])
    );
    assert_eq!(open_question(&runtime).suspension.id, of("rent"));
    let ran = go_on(&runtime, &of("rent"), &json!({ "decision": "deny" })).await;
    assert_eq!((ran.result.text.as_str(), desk.calls().len()), ("done", 1));
    runtime.close().await;
}
