//! Runs that somebody ends, wherever they are.

use sandbar::protocol::{EventBody, RunRequest, RunResult, StopReason, StreamItem};
use sandbar::{Attended, Config, Runtime};
use serde_json::json;

use super::{open_question, paying, read_in};
use crate::support::cut::Recording;
use crate::support::desk::Desk;
use crate::support::person::{answer, go_on};
use crate::support::ran::Ran;
use crate::support::script::{asks, says, text};
use crate::support::world::{World, ask_in, request_in};

/// What a run has used, as its result says.
fn used(result: &RunResult) -> (StopReason, u32, u32, u32, Option<u64>) {
    let usage = result.usage.input_tokens;
    (
        result.stop_reason,
        result.steps,
        result.tool_calls,
        result.model_calls,
        usage,
    )
}

fn is_started(body: &EventBody) -> bool {
    matches!(body, EventBody::ToolStarted { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_is_cancelled() {
    let desk = Desk::new();
    let calls = asks(&[("desk__set", r#"{"text":"a"}"#), ("desk__pay", r#"{"text":"b"}"#)]);
    let world = World::new()
        .desk(&desk)
        .script(calls + "usage = { input_tokens = 9 }\n" + &says("next"));
    let (here, elsewhere) = (world.open().await, world.open().await);
    let waits = read_in(&here, "talk", Attended::Nobody).await;
    let asked = open_question(&here).suspension.id;
    let result = elsewhere
        .cancel(&waits.result.run)
        .await
        .unwrap()
        .expect("nobody has it");
    assert_eq!(
        used(&result),
        (StopReason::Cancelled, 2, 1, 1, Some(9)),
        "what was used stays used"
    );
    assert_eq!(
        here.store().run(&result.run).unwrap().stop_reason,
        Some(StopReason::Cancelled)
    );
    let late = answer(&here, &asked, &json!({ "decision": "once" })).await.unwrap_err();
    assert_eq!(late.code, "run-finished");
    assert_eq!(elsewhere.cancel(&result.run).await.unwrap_err().code, "run-finished");
    assert_eq!(desk.calls(), ["set a"]);
    assert_eq!(ask_in(&here, "talk", "and now?").await.result.text, "next");
    here.close().await;
    elsewhere.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_cancelled_from_elsewhere() {
    let desk = Desk::new();
    let world = World::new()
        .desk(&desk)
        .script(asks(&[("desk__wait", r#"{"text":"a"}"#)]));
    let (here, elsewhere) = (world.open().await, world.open().await);
    let mut stream = here.run(request_in("talk", "go")).await.unwrap();
    let run = stream.run().clone();
    loop {
        let item = stream.next().await.expect("it calls a tool").unwrap();
        if matches!(&item, StreamItem::Event(event) if is_started(&event.body)) {
            break;
        }
    }
    assert_eq!(elsewhere.cancel(&run).await.unwrap(), None, "who has it will obey");
    let ran = Ran::collect(stream).await;
    assert_eq!(ran.said("desk__wait"), "cancelled: the run was cancelled");
    assert_eq!(used(&ran.result), (StopReason::Cancelled, 2, 1, 1, None));
    here.close().await;
    elsewhere.close().await;
}

/// A run that was cut off in two calls: they get an outcome, and the session goes on with a transcript that a model accepts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_cut_off_is_cancelled() {
    let calls = asks(&[("desk__set", r#"{"text":"a"}"#), ("desk__send", r#"{"text":"b"}"#)]);
    let ended = |read: &str| {
        let usage = "usage = { input_tokens = 9 }\n";
        calls.clone()
            + usage
            + &format!(
                "[[reply]]\nexpect = {{ messages = 5, last = {} }}\ntext = \"next\"\n",
                text(read)
            )
    };
    let desk = Desk::new();
    let world = World::new().desk(&desk).script(calls.clone() + &says("done"));
    let runtime = world.open().await;
    let whole = ask_in(&runtime, "talk", "go").await;
    let mut recording = Recording::of(&runtime, &whole.session);
    runtime.close().await;
    recording
        .events
        .retain(|event| !matches!(event.body, EventBody::ToolFinished { .. }));

    let desk = Desk::new();
    let world = world.data_dir("cut").desk(&desk).script(ended("^and now\\?$"));
    let second = recording
        .events
        .iter()
        .rposition(|event| is_started(&event.body))
        .unwrap()
        + 1;
    recording.cut(&world, second).await;
    let runtime = world.open().await;
    let result = runtime.cancel(&whole.result.run).await.unwrap().expect("nobody has it");
    assert_eq!(
        (result.stop_reason, result.steps, result.tool_calls),
        (StopReason::Cancelled, 2, 2)
    );
    let events = runtime.store().events(&whole.session, second as u64, 100).unwrap();
    let names: Vec<&str> = events.iter().map(|event| event.body.name()).collect();
    assert_eq!(names, ["resumed", "tool.finished", "tool.finished", "run.finished"]);
    assert!(desk.calls().is_empty());
    assert_eq!(ask_in(&runtime, "talk", "and now?").await.result.text, "next");
    runtime.close().await;
}

/// A run that has only to end needs neither its agent nor its pattern.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_agent_is_gone_is_cancelled() {
    let desk = Desk::new();
    let other = "[agents.other]\nmodel = \"script\"\npattern = \"pattern_probe\"";
    let world = World::new().guest("pattern_probe").desk(&desk).agents(other);
    let runtime = world.open().await;
    let request = RunRequest {
        agent: Some("other".to_owned()),
        ..request_in("talk", "ask which?")
    };
    let waits = Ran::read(runtime.run(request).await.unwrap()).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    runtime.close().await;

    std::fs::remove_file(world.path("plugins/pattern_probe.wasm")).unwrap();
    let config = Config::from_toml(&world.config_text().replace(other, ""), &world.path("")).unwrap();
    let runtime = Runtime::open_with(config, world.options()).await.unwrap();
    let run = &waits.result.run;
    assert_eq!(
        runtime.resume(run, Attended::Nobody).await.unwrap_err().code,
        "no-agent"
    );
    let result = runtime.cancel(run).await.unwrap().expect("nobody has it");
    assert_eq!((result.stop_reason, result.steps), (StopReason::Cancelled, 1));
    runtime.close().await;
}

/// A cancellation that was asked for holds also where an answer comes after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_should_end_is_not_continued_by_an_answer() {
    let desk = Desk::new();
    let world = paying(&desk);
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", Attended::Nobody).await;
    runtime.store().ask_to_cancel(&waits.result.run).await.unwrap();
    let ran = go_on(
        &runtime,
        &open_question(&runtime).suspension.id,
        &json!({ "decision": "once" }),
    )
    .await;
    assert_eq!(ran.result.stop_reason, StopReason::Cancelled);
    assert!(desk.calls().is_empty());
    runtime.close().await;
}
