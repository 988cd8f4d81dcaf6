//! Runs that were cut off: wherever that was, they end as if it had not been.

mod damage;
mod unknown;

use std::time::Duration;

use sandbar::Attended;
use sandbar::protocol::{EventBody, RunId, RunRequest, StopReason, Suspension, SuspensionKind};
use serde_json::{Value, json};

use crate::support::cut::{Recording, essence};
use crate::support::desk::Desk;
use crate::support::person::bring_to_an_end;
use crate::support::ran::Ran;
use crate::support::script::{asks, asks_once, says};
use crate::support::world::{World, ask_in, request_in};

/// Every action that this host has, and everything that an effect can be.
const EVERYTHING: &str = "artifact plan.txt first\nemit acme.plan {\"of\":3}\ntools desk__send {\"text\":\"own\"}\n\
                          tools desk__nothing {}\nthread plan think\nmodel\ncalls\nview\nmodel\ndiscard\nschema {\"type\":\"integer\"}\ncompact\nask which colour?";

/// The model's part. What it is sent must be what it would have been sent without a cut.
const REPLIES: &str = r#"
[[reply]]
expect = { thread = "plan", last = "^think$", messages = 1, instructions = "^Be careful\\.$" }
text = "thought"
usage = { input_tokens = 7, output_tokens = 1 }
[[reply]]
expect = { messages = 3, last = "^result of `desk__nothing`:\nerror", instructions = "^Be careful\\.$" }
calls = [
    { name = "desk__look", arguments = { text = "a" } },
    { name = "desk__set", arguments = { text = "b" } },
    { name = "desk__send", arguments = { text = "c" } },
    { name = "desk__pay", arguments = { text = "d" } },
]
usage = { input_tokens = 20, output_tokens = 5 }
[[reply]]
expect = { messages = 8, last = "^pay: d$", instructions = "^Be careful\\.$" }
text = "many"
usage = { input_tokens = 30, output_tokens = 2 }
[[reply]]
expect = { messages = 10, last = "does not fit", instructions = "^Be careful\\.$" }
text = "3"
usage = { input_tokens = 40, output_tokens = 1 }
[[reply]]
expect = { messages = 12, last = "^model$", instructions = "^Be quick\\.$" }
text = "next"
"#;

const AGENT: &str = "pattern = \"pattern_probe\"\ninstructions = \"Be careful.\"";

/// The same agent after somebody has changed the configuration.
const AGENT_LATER: &str = "pattern = \"pattern_probe\"\ninstructions = \"Be quick.\"\nlimits = { steps = 3 }";

/// What a person says to each question of the run.
fn says_to(asked: &Suspension) -> Value {
    match asked.kind {
        SuspensionKind::UnknownOutcome => json!({ "decision": "retry" }),
        SuspensionKind::Question => json!("blue"),
        SuspensionKind::Approval => json!({ "decision": "once" }),
        SuspensionKind::Budget => json!({ "decision": "extend" }),
        SuspensionKind::SignIn => json!({ "decision": "done" }),
    }
}

/// The calls of tools that have no outcome among the events, as the desk names them.
fn left_to_call(whole: &Recording, events: usize) -> Vec<String> {
    let (before, after) = whole.events.split_at(events);
    let ended = |effect: &str| {
        let mut before = before.iter();
        before.any(|event| matches!(&event.body, EventBody::ToolFinished { effect: ended, .. } if ended == effect))
    };
    let mut calls: Vec<String> = before
        .iter()
        .chain(after)
        .filter_map(|event| match &event.body {
            EventBody::ToolStarted {
                effect,
                name,
                arguments,
                refused: false,
                ..
            } if !ended(effect) => {
                let arguments: Value = serde_json::from_str(arguments).unwrap();
                let name = name.strip_prefix("desk__").unwrap();
                Some(format!("{name} {}", arguments["text"].as_str().unwrap()))
            }
            _ => None,
        })
        .collect();
    calls.sort();
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cut_off_anywhere_ends_as_the_whole_one_did() {
    let desk = Desk::new();
    let mut world = World::new()
        .guest("pattern_probe")
        .desk(&desk)
        .script(REPLIES)
        .agent(AGENT);
    let runtime = world.open().await;
    let waits = Ran::read(runtime.run(request_in("talk", EVERYTHING)).await.unwrap()).await;
    let run = waits.result.run.clone();
    let expected = bring_to_an_end(&runtime, &run, says_to).await.unwrap();
    assert_eq!((expected.stop_reason, expected.model_calls), (StopReason::Finished, 5));
    let said: Vec<&str> = expected.text.lines().collect();
    assert!(
        said[0].starts_with("step 8; steps-left 42; tool-calls-left 195; tools desk__look,desk__set,"),
        "{said:?}"
    );
    assert_eq!(
        said[1..],
        [
            "unsupported: the action `compact` is not supported by this version",
            "answer: \"blue\""
        ]
    );
    assert_eq!(expected.usage.input_tokens, Some(7 + 20 + 30 + 30 + 40));
    assert_eq!(desk.calls(), ["send own", "look a", "set b", "send c", "pay d"]);
    let whole = Recording::of(&runtime, &waits.session);
    runtime.close().await;

    world = world.agent_anew(AGENT_LATER);
    for events in 1..whole.events.len() {
        world = world.data_dir(&format!("cut-{events}"));
        let last = whole.events[events - 1].body.name().to_owned();
        whole.cut(&world, events).await;
        let desk = Desk::new();
        world = world.desk(&desk);
        let runtime = world.open().await;
        let mut result = bring_to_an_end(&runtime, &run, says_to).await.unwrap();
        result.wall_ms = expected.wall_ms;
        assert_eq!(result, expected, "cut after event {events}, {last}");
        let mut calls = desk.calls();
        calls.sort();
        assert_eq!(calls, left_to_call(&whole, events), "cut after event {events}, {last}");
        let continued = Recording::of(&runtime, &waits.session);
        assert_eq!(
            essence(&continued.events),
            essence(&whole.events),
            "cut after event {events}, {last}"
        );
        assert!(
            runtime.replay(&run).await.unwrap().agrees(),
            "cut after event {events}, {last}"
        );
        assert_eq!(
            ask_in(&runtime, "talk", "model").await.result.text,
            "next",
            "the conversation is whole"
        );
        runtime.close().await;
    }

    world = world.data_dir("whole");
    whole.cut(&world, whole.events.len()).await;
    let runtime = world.open().await;
    let error = runtime.resume(&run, Attended::Nobody).await.unwrap_err();
    assert_eq!(error.code, "run-finished");
    runtime.close().await;
}

/// A session with a run that ended, and one that was cut off in a tool call.
async fn cut_off_in_a_call() -> (World, Desk, RunId) {
    let replies = says("one")
        + &asks_once("desk__set", r#"{"text":"two"}"#)
        + "[[reply]]\nexpect = { last = \"^three$\", messages = 7 }\ntext = \"3\"\n";
    let world = World::new().desk(&Desk::new()).script(replies);
    let runtime = world.open().await;
    ask_in(&runtime, "talk", "one").await;
    let second = ask_in(&runtime, "talk", "two").await;
    let recording = Recording::of(&runtime, &second.session);
    runtime.close().await;
    let desk = Desk::new();
    let world = world.data_dir("cut").desk(&desk);
    let started = recording.up_to(|body| matches!(body, EventBody::ToolStarted { .. }));
    recording.cut(&world, started).await;
    (world, desk, second.result.run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_request_continues_the_run_before_it() {
    let (world, desk, run) = cut_off_in_a_call().await;
    let runtime = world.open().await;
    let ran = ask_in(&runtime, "talk", "three").await;
    let lines: Vec<String> = ran.lines();
    assert_eq!(
        lines,
        [
            "resumed after it was cut off",
            "tool.started call-1-0 desk__set \"{\\\"text\\\":\\\"two\\\"}\" attempt 2",
            "tool.finished call-1-0 ok \"set: two\"",
            "step.decided 3: model main",
            "model.started main",
            "model.finished stop \"done\"",
            "step.decided 4: finish done",
            "run.finished finished (done) \"done\" steps 4 tools 1 models 2",
            "run.started main \"three\"",
            "step.decided 1: model main",
            "model.started main",
            "model.finished stop \"3\"",
            "step.decided 2: finish done",
            "run.finished finished (done) \"3\" steps 2 tools 0 models 1",
        ]
    );
    assert_eq!(desk.calls(), ["set two"]);
    let runs = runtime.store().runs(&ran.session).unwrap();
    let ended = runs.iter().map(|run| run.stop_reason);
    assert_eq!(ended.collect::<Vec<_>>(), [Some(StopReason::Finished); 3]);
    assert_eq!((&runs[1].id, &runs[2].id), (&run, &ran.result.run));
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_a_run_that_was_cut_off_does_not_continue_it() {
    let (world, desk, run) = cut_off_in_a_call().await;
    let runtime = world.open().await;
    let store = runtime.store();
    let unfinished = store.unfinished_runs().unwrap();
    assert_eq!(unfinished.iter().map(|run| &run.id).collect::<Vec<_>>(), [&run]);
    let session = &unfinished[0].session;
    let before = store.events(session, 0, 1000).unwrap();
    assert_eq!(store.run(&run).unwrap().stop_reason, None);
    assert_eq!(store.session(session).unwrap().unwrap().last_run, Some(run.clone()));
    assert!(store.open_suspensions().unwrap().is_empty());
    assert!(!runtime.replay(&run).await.unwrap().steps.is_empty());
    runtime.close().await;
    assert_eq!(store.events(session, 0, 1000).unwrap(), before);
    assert_eq!((store.holder(session).unwrap(), desk.calls()), (None, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_with_its_own_pattern_or_not_at_all() {
    let (world, desk, run) = cut_off_in_a_call().await;
    // A plugin of the user's own comes before a bundled one of its name.
    let world = world.guest_as("pattern_hasty", "react");
    let runtime = world.open().await;
    let resumed = runtime.resume(&run, Attended::Nobody).await.unwrap_err();
    let asked = runtime.run(request_in("talk", "three")).await.unwrap_err();
    for error in [resumed, asked] {
        assert_eq!(error.code, "pattern-changed", "{error}");
        assert!(error.message.contains("`react`"), "{error}");
    }
    assert!(desk.calls().is_empty());
    // The hint says how to get on.
    let cancelled = runtime.cancel(&run).await.unwrap().expect("nobody else has it");
    assert_eq!(cancelled.stop_reason, StopReason::Cancelled);
    runtime.close().await;
}

/// The agent that began a run goes on with it, whoever began the session and whoever is asked next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_with_its_own_agent() {
    let replies = says("one")
        + &asks(&[("echo__echo", r#"{"text":"hi"}"#)])
        + "[[reply]]\nexpect = { last = \"^hi$\", tools = [\"echo__echo\"] }\ntext = \"two\"\n"
        + "[[reply]]\nexpect = { tools = [] }\ntext = \"three\"\n";
    let mut world = World::new()
        .guest("echo")
        .agents("[agents.other]\nmodel = \"script\"\nplugins = [\"echo\"]")
        .script(replies);
    let runtime = world.open().await;
    ask_in(&runtime, "talk", "one").await;
    let request = RunRequest {
        agent: Some("other".to_owned()),
        ..request_in("talk", "two")
    };
    let second = Ran::collect(runtime.run(request).await.unwrap()).await;
    let recording = Recording::of(&runtime, &second.session);
    runtime.close().await;
    let asked = recording.up_to(|body| matches!(body, EventBody::ToolStarted { .. })) - 1;
    for resumes in [true, false] {
        world = world.data_dir(if resumes { "resumed" } else { "asked" });
        recording.cut(&world, asked).await;
        let runtime = world.open().await;
        if resumes {
            let stream = runtime.resume(&second.result.run, Attended::Nobody).await.unwrap();
            assert_eq!(Ran::collect(stream).await.result.text, "two");
        }
        assert_eq!(ask_in(&runtime, "talk", "three").await.result.text, "three");
        let texts = runtime.store().events(&second.session, 0, 1000).unwrap();
        let ended = texts.iter().filter_map(|event| match &event.body {
            EventBody::RunFinished(result) => Some(result.text.as_str()),
            _ => None,
        });
        assert_eq!(ended.collect::<Vec<_>>(), ["one", "two", "three"]);
        runtime.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beside_each_other_are_cut_off_between_their_outcomes() {
    let calls = ["a", "b", "c", "d"].map(|text| ("desk__set", format!("{{\"text\":\"{text}\"}}")));
    let calls = calls.each_ref().map(|(name, arguments)| (*name, arguments.as_str()));
    let answered = "[[reply]]\nexpect = { messages = 6, last = \"^set: d$\", failed = false }\ntext = \"done\"\n";
    let mut world = World::new().desk(&Desk::new()).script(asks(&calls) + answered);
    let runtime = world.open().await;
    let whole = ask_in(&runtime, "talk", "go").await;
    let recording = Recording::of(&runtime, &whole.session);
    runtime.close().await;
    let first = recording.up_to(|body| matches!(body, EventBody::ToolFinished { .. }));
    for events in first..first + 4 {
        let desk = Desk::new();
        world = world.data_dir(&format!("cut-{events}")).desk(&desk);
        recording.cut(&world, events).await;
        let runtime = world.open().await;
        let stream = runtime.resume(&whole.result.run, Attended::Nobody).await.unwrap();
        assert_eq!(stream.run(), &whole.result.run);
        let ran = Ran::collect(stream).await;
        assert_eq!((ran.result.text.as_str(), ran.result.tool_calls), ("done", 4));
        let mut made = desk.calls();
        made.sort();
        assert_eq!(made, left_to_call(&recording, events));
        runtime.close().await;
    }
}

/// What a person refused is not called by who goes on with the run, wherever it was cut off and whoever that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_holds_when_it_is_cut_off() {
    let denied = json!({ "decision": "deny", "reason": "too dear" });
    let mut world = World::new()
        .desk(&Desk::new())
        .script(asks_once("desk__pay", r#"{"text":"a"}"#));
    let runtime = world.open().await;
    let waits = Ran::read(runtime.run(request_in("talk", "go")).await.unwrap()).await;
    let run = waits.result.run;
    let expected = bring_to_an_end(&runtime, &run, |_| denied.clone()).await.unwrap();
    assert_eq!((expected.text.as_str(), expected.tool_calls), ("done", 0));
    let whole = Recording::of(&runtime, &waits.session);
    runtime.close().await;

    let answered = whole.up_to(|body| matches!(body, EventBody::Resumed { .. }));
    for events in answered..whole.events.len() {
        for attended in [Attended::Nobody, Attended::Allowing] {
            let desk = Desk::new();
            world = world.data_dir(&format!("cut-{events}-{attended:?}")).desk(&desk);
            whole.cut(&world, events).await;
            let runtime = world.open().await;
            let ended = Ran::collect(runtime.resume(&run, attended).await.unwrap()).await;
            let last = whole.events[events - 1].body.name();
            assert_eq!(desk.calls(), [""; 0], "cut off after {last}");
            assert_eq!(
                (ended.result.text.as_str(), ended.result.tool_calls),
                ("done", 0),
                "{last}"
            );
            runtime.close().await;
        }
    }
}

/// A run that somebody had to be asked about, cut off before and after they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waited_is_cut_off_anywhere() {
    for (agent, tool) in [
        ("", "desk__pay"),
        ("", "desk__mail"),
        ("limits = { steps = 2, when_used_up = \"ask\" }", "desk__set"),
        ("limits = { tool_calls = 0, when_used_up = \"ask\" }", "desk__look"),
    ] {
        let replies = asks_once(tool, r#"{"text":"a"}"#);
        let mut world = World::new().desk(&Desk::new()).agent(agent).script(replies);
        let runtime = world.open().await;
        let waits = Ran::read(runtime.run(request_in("talk", "go")).await.unwrap()).await;
        assert_eq!(waits.result.stop_reason, StopReason::Suspended, "{tool}");
        let run = waits.result.run;
        let expected = bring_to_an_end(&runtime, &run, says_to).await.unwrap();
        assert_eq!((expected.text.as_str(), expected.tool_calls), ("done", 1));
        let whole = Recording::of(&runtime, &waits.session);
        runtime.close().await;

        let answered = whole.up_to(|body| matches!(body, EventBody::Resumed { .. }));
        for events in 1..whole.events.len() {
            let desk = Desk::new().sign_ins(u32::from(events < answered));
            world = world.data_dir(&format!("cut-{events}")).desk(&desk);
            whole.cut(&world, events).await;
            let runtime = world.open().await;
            let mut result = bring_to_an_end(&runtime, &run, says_to).await.unwrap();
            result.wall_ms = expected.wall_ms;
            assert_eq!(result, expected, "{tool} cut after event {events}");
            assert!(
                runtime.replay(&run).await.unwrap().agrees(),
                "{tool} cut after event {events}"
            );
            runtime.close().await;
        }
    }
}

/// The time in which a run worked counts, and that in which nobody had it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_has_the_time_that_it_had_left() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let mut world = World::new()
        .desk(&Desk::new())
        .script(asks_once("desk__set", r#"{"text":"a"}"#));
    let runtime = world.open().await;
    let ran = ask_in(&runtime, "talk", "go").await;
    let whole = Recording::of(&runtime, &ran.session);
    runtime.close().await;
    // Five events are four times apart, and a run has ten minutes.
    for (apart, stop_reason, steps) in [
        (minutes(2), StopReason::Finished, 4),
        (minutes(3), StopReason::Timeout, 2),
    ] {
        world = world.data_dir(&format!("{}", apart.as_secs()));
        whole.cut_slowly(&world, 5, apart).await;
        world.forward(minutes(60));
        let runtime = world.open().await;
        let stream = runtime.resume(&ran.result.run, Attended::Nobody).await.unwrap();
        let result = Ran::collect(stream).await.result;
        assert_eq!((result.stop_reason, result.steps), (stop_reason, steps), "{apart:?}");
        let spent = Duration::from_millis(result.wall_ms);
        assert!(spent >= 4 * apart && spent < 4 * apart + minutes(50), "{spent:?}");
        runtime.close().await;
    }
}

/// One call waits, and the one beside it was cut off: the time until somebody came counts for neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_and_was_cut_off_has_its_time_too() {
    let calls = [("desk__pay", r#"{"text":"a"}"#), ("desk__set", r#"{"text":"b"}"#)];
    let world = World::new().desk(&Desk::new()).script(asks(&calls) + &says("done"));
    let runtime = world.open().await;
    let waits = Ran::read(runtime.run(request_in("talk", "go")).await.unwrap()).await;
    let recording = Recording::of(&runtime, &waits.session);
    runtime.close().await;

    let world = world.data_dir("cut");
    let started = recording.up_to(|body| matches!(body, EventBody::ToolStarted { .. }));
    recording.cut(&world, started).await;
    assert!(recording.up_to(|body| matches!(body, EventBody::Suspended(_))) <= started);
    let run = &waits.result.run;
    for visit in 0..3 {
        world.forward(Duration::from_secs(60 * 60));
        let runtime = world.open().await;
        let ran = Ran::read(runtime.resume(run, Attended::Nobody).await.unwrap()).await;
        assert_eq!(ran.result.stop_reason, StopReason::Suspended);
        assert_eq!(
            ran.events().next().map(|event| event.body.name()),
            (visit == 0).then_some("resumed")
        );
        runtime.close().await;
    }
    let runtime = world.open().await;
    let result = bring_to_an_end(&runtime, run, says_to).await.unwrap();
    assert_eq!(
        (result.stop_reason, result.text.as_str()),
        (StopReason::Finished, "done")
    );
    assert!(result.wall_ms < 60_000, "{result:?}");
    runtime.close().await;
}
