//! What else a run waits for: a pattern's question, a limit, somebody who signs in.

use sandbar::protocol::{Answerers, EventBody, StopReason, SuspensionKind};
use sandbar::{Answered, Attended, Runtime};
use serde_json::{Value, json};

use super::{open_question, read_in};
use crate::support::desk::Desk;
use crate::support::person::{Person, answer, go_on, said};
use crate::support::ran::{Ran, finished};
use crate::support::script::{asks, asks_once, says};
use crate::support::world::{World, request_in};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_asks_whoever_talks_with_it() {
    let message = "emit acme.plan {\"of\":3}\nmodel\ndiscard\nschema {\"type\":\"integer\"}\nask which colour?\nview";
    let replies = says("many") + "[[reply]]\nexpect = { last = \"it is not JSON\" }\ntext = \"3\"\n";
    let world = World::new()
        .guest("pattern_probe")
        .pattern("pattern_probe")
        .script(replies);
    let runtime = world.open().await;
    let waits = Ran::read(runtime.run(request_in("talk", message)).await.unwrap()).await;
    assert_eq!(
        waits
            .lines()
            .into_iter()
            .filter(|line| !line.starts_with("step.") && !line.starts_with("model."))
            .collect::<Vec<_>>(),
        [
            "run.started main \"emit acme.plan {\\\"of\\\":3}\\nmodel\\ndiscard\\nschema {\\\"type\\\":\\\"integer\\\"}\\nask which colour?\\nview\"",
            "custom acme.plan {\"of\":3}",
            "reply.discarded asked to",
            "validation.retry \"Your answer must be one JSON value that fits the schema, and nothing else. It does not fit: it is not JSON: expected val\"… 141 bytes",
            "suspended question \"which colour?\"",
        ]
    );
    let question = open_question(&runtime).suspension;
    assert_eq!(
        (question.kind, question.answered_by),
        (SuspensionKind::Question, Answerers::User)
    );
    assert_eq!(
        (question.question.as_str(), &question.schema),
        ("which colour?", &json!({ "type": "string" }))
    );
    assert_eq!(
        answer(&runtime, &question.id, &json!(5)).await.unwrap_err().code,
        "answer-does-not-fit"
    );
    let answered = runtime
        .answer(&question.id, said(&json!("blue")), Answerers::User, Attended::Nobody)
        .await;
    let Ok(Answered::Resumed(stream)) = answered else {
        panic!("{answered:?}")
    };
    let text = Ran::collect(*stream).await.result.text;
    assert!(
        text.starts_with("answer: \"blue\"\nstep 6;") && text.ends_with("note answer 6"),
        "{text}"
    );
    runtime.close().await;
}

/// An answer that never fits ends the run after so many tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_never_answers_what_fits_fails() {
    let world = World::new()
        .guest("pattern_probe")
        .pattern("pattern_probe")
        .script(says("one").repeat(3) + &says("1"));
    let ran = world.ask("schema {\"type\":\"integer\"}").await;
    assert_eq!(ran.result.stop_reason, StopReason::ModelFailed);
    assert!(
        finished(&ran.result).contains("[answer-does-not-fit: "),
        "{}",
        finished(&ran.result)
    );
    assert_eq!(ran.result.model_calls, 3);
}

/// A limit of an agent that asks when it is used up.
async fn asking(limits: &str, replies: String) -> (World, Runtime, Desk) {
    let desk = Desk::new();
    let world = World::new()
        .desk(&desk)
        .agent(&format!("limits = {{ {limits}, when_used_up = \"ask\" }}"))
        .script(replies);
    let runtime = world.open().await;
    (world, runtime, desk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_used_up_its_steps_asks_for_more() {
    let (world, runtime, desk) = asking("steps = 1", asks_once("desk__set", r#"{"text":"a"}"#)).await;
    let waits = read_in(&runtime, "talk", Attended::Nobody).await;
    assert_eq!(
        (waits.result.stop_reason, waits.result.steps),
        (StopReason::Suspended, 1)
    );
    let asked = open_question(&runtime).suspension;
    assert_eq!(
        (asked.kind, asked.question.as_str()),
        (SuspensionKind::Budget, "the run has used its 1 step; may it go on?")
    );
    // Two more are one too few.
    let waits = go_on(&runtime, &asked.id, &json!({ "decision": "extend", "by": 2 })).await;
    assert_eq!(
        (waits.result.stop_reason, waits.result.steps),
        (StopReason::Suspended, 3)
    );
    let asked = open_question(&runtime).suspension;
    assert_eq!(asked.question, "the run has used its 3 steps; may it go on?");
    runtime.close().await;
    let runtime = world.open().await;
    let ran = go_on(&runtime, &asked.id, &json!({ "decision": "extend" })).await;
    assert_eq!((ran.result.text.as_str(), ran.result.steps), ("done", 4));
    assert_eq!(desk.calls(), ["set a"]);
    let replay = runtime.replay(&ran.result.run).await.unwrap();
    assert!(replay.agrees() && replay.steps.len() == 4, "{:#?}", replay.steps);
    runtime.close().await;
}

/// What an operator gave holds, also where the configuration has changed its mind about asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_was_extended_stays_extended() {
    let (world, runtime, desk) = asking("steps = 1", asks_once("desk__set", r#"{"text":"a"}"#)).await;
    read_in(&runtime, "talk", Attended::Nobody).await;
    runtime.close().await;
    let world = world.agent_anew("limits = { steps = 1, when_used_up = \"stop\" }");
    let runtime = world.open().await;
    let asked = open_question(&runtime).suspension.id;
    let ran = go_on(&runtime, &asked, &json!({ "decision": "extend", "by": 9 })).await;
    assert_eq!((ran.result.text.as_str(), ran.result.steps), ("done", 4));
    assert_eq!(desk.calls(), ["set a"]);
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_used_up_its_tool_calls_asks_for_more() {
    let calls = asks(&[("desk__set", r#"{"text":"a"}"#), ("desk__set", r#"{"text":"b"}"#)]);
    let replies = calls + &says("done");
    let check = async |decision: Value, stop_reason: StopReason, calls: usize| {
        let (_world, runtime, desk) = asking("tool_calls = 1", replies.clone()).await;
        let person = Person::default();
        let ran = Ran::read(runtime.run(request_in("talk", "go")).await.unwrap()).await;
        assert_eq!((ran.result.stop_reason, desk.calls().len()), (StopReason::Suspended, 0));
        let ran = go_on(&runtime, &open_question(&runtime).suspension.id, &decision).await;
        assert_eq!(
            (ran.result.stop_reason, desk.calls().len()),
            (stop_reason, calls),
            "{decision}"
        );
        assert!(person.asked().is_empty());
        runtime.close().await;
    };
    check(json!({ "decision": "extend" }), StopReason::Finished, 2).await;
    check(json!({ "decision": "extend", "by": 1 }), StopReason::Finished, 2).await;
    check(json!({ "decision": "stop" }), StopReason::MaxToolCalls, 1).await;
}

/// A tool that was called without a sign-in is called again under the same key, now or days later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_waits_for_somebody_to_sign_in() {
    let check = async |sign_ins: u32, answers: &[&str], read: &str, calls: usize| {
        let desk = Desk::new().sign_ins(sign_ins);
        let read = format!("[[reply]]\nexpect = {{ last = {read:?}, messages = 3 }}\ntext = \"done\"\n");
        let world = World::new()
            .desk(&desk)
            .script(asks(&[("desk__mail", r#"{"text":"hi"}"#)]) + &read);
        let runtime = world.open().await;
        let mut ran = read_in(&runtime, "talk", Attended::Nobody).await;
        for answer in answers {
            assert_eq!(ran.result.stop_reason, StopReason::Suspended);
            let asked = open_question(&runtime).suspension;
            assert_eq!(
                (asked.kind, asked.question.as_str()),
                (SuspensionKind::SignIn, "open https://example.org/sign-in")
            );
            ran = go_on(&runtime, &asked.id, &json!({ "decision": answer })).await;
        }
        assert_eq!(
            (ran.result.text.as_str(), ran.result.tool_calls),
            ("done", 1),
            "{answers:?}: {:#?}",
            ran.lines()
        );
        assert_eq!(desk.calls(), vec!["mail hi"; calls]);
        let events = runtime.store().events(&ran.session, 0, 1000).unwrap();
        let attempts = events.iter().filter_map(|event| match &event.body {
            EventBody::ToolStarted {
                attempt,
                idempotency_key,
                effect,
                ..
            } => {
                assert_eq!(idempotency_key, effect);
                Some(*attempt as usize)
            }
            _ => None,
        });
        assert!(attempts.eq(1..=calls));
        runtime.close().await;
    };
    check(1, &["done"], "^mail: hi$", 2).await;
    check(2, &["done", "done"], "^mail: hi$", 3).await;
    check(1, &["cancel"], "^error \\[sign-in-required\\]", 1).await;
    check(9, &["done", "done", "done"], "^error \\[sign-in-required\\]", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_is_there_signs_in_at_once() {
    let desk = Desk::new().sign_ins(2);
    let world = World::new()
        .desk(&desk)
        .with("[consent]\ntools = { desk__mail = \"allow\" }")
        .script(asks_once("desk__mail", r#"{"text":"hi"}"#));
    let runtime = world.open().await;
    let person = Person::default();
    let ran = read_in(&runtime, "talk", person.says(&json!({ "decision": "done" }))).await;
    assert_eq!(
        (ran.result.text.as_str(), ran.said("desk__mail").as_str()),
        ("done", "mail: hi")
    );
    assert_eq!((person.asked().len(), desk.calls().len()), (2, 3));
    runtime.close().await;
}
