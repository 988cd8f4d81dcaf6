//! A delegated run that waits for an answer: whoever brings it, the runs above go on.

use std::path::Path;
use std::time::Duration;

use sandbar::protocol::{RunId, StopReason, SuspensionId};
use sandbar::{Attended, Runtime};
use serde_json::{Value, json};

use super::{TEXT, chief, children, read_in};
use crate::support::desk::Desk;
use crate::support::person::{answer, go_on};
use crate::support::program::run;
use crate::support::ran::Ran;
use crate::support::script::{asks, asks_once, says};
use crate::support::world::{World, request_in};

/// An agent that gives its task to one that gives it to a helper, who has to ask whether it may pay.
fn three(desk: &Desk) -> World {
    let world = chief(desk, &asks_once("desk__pay", TEXT));
    world
        .agent_anew("pattern = \"pattern_probe\"\ndelegates = [\"middle\"]")
        .with("[agents.middle]\nmodel = \"helper\"\npattern = \"pattern_probe\"\ndelegates = [\"helper\"]")
}

const THREE: &str = "delegate middle delegate helper go\nfinish";

/// The one question that waits, and the run that asks it.
fn question(runtime: &Runtime) -> (SuspensionId, RunId) {
    let mut open = runtime.store().open_suspensions().unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    let open = open.remove(0);
    (open.suspension.id, open.run)
}

fn stop_reason(runtime: &Runtime, run: &RunId) -> Option<StopReason> {
    runtime.store().run(run).unwrap().stop_reason
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_lets_all_runs_above_go_on() {
    let desk = Desk::new();
    let world = three(&desk);
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", THREE).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    let (asked, below) = question(&runtime);
    assert_ne!(below, waits.result.run);
    assert!(runtime.store().suspensions(&waits.result.run).unwrap().is_empty());
    let busy = runtime.run(request_in("talk", "and now?")).await.unwrap_err();
    assert_eq!(busy.code, "session-suspended");
    assert!(busy.hint.unwrap().contains(asked.as_str()));
    runtime.close().await;

    // Another process, days later.
    world.forward(Duration::from_hours(72));
    let runtime = world.open().await;
    let ran = go_on(&runtime, &asked, &json!({ "decision": "once" })).await;
    assert_eq!((&ran.result.run, ran.result.text.as_str()), (&below, "done"));
    runtime.close().await;
    let top = runtime.store().run(&waits.result.run).unwrap();
    assert_eq!(top.stop_reason, Some(StopReason::Finished));
    assert!(runtime.store().unfinished_runs().unwrap().is_empty());
    assert_eq!(desk.calls(), ["pay a"]);
    let last = runtime
        .store()
        .events(&top.session, top.last_sequence.unwrap() - 1, 1)
        .unwrap();
    let sandbar::protocol::EventBody::RunFinished(result) = &last[0].body else {
        panic!("{last:?}")
    };
    assert_eq!(result.text, "delegate: delegate: done");
    assert!(
        result.wall_ms < Duration::from_hours(1).as_millis() as u64,
        "nobody worked on it while it waited"
    );
    assert_eq!((result.tool_calls, result.model_calls), (3, 2));
}

/// The answer comes while the runs are just leaving, here and elsewhere: all of them end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_answered_while_they_leave() {
    for here_too in [true, false] {
        let desk = Desk::new();
        let world = three(&desk).own_workspaces();
        let here = world.open().await;
        let answering = if here_too { here.clone() } else { world.open().await };
        for number in 0..20 {
            let stream = here.run(request_in(&format!("s-{number}"), THREE)).await.unwrap();
            let asked = loop {
                match here.store().open_suspensions().unwrap().first() {
                    Some(open) => break open.suspension.id.clone(),
                    None => tokio::task::yield_now().await,
                }
            };
            answer(&answering, &asked, &json!({ "decision": "once" }))
                .await
                .unwrap();
            stream.result().await.unwrap();
        }
        // Who goes on with a run may hand the one above to the other.
        for _ in 0..3 {
            here.close().await;
            answering.close().await;
        }
        assert_eq!(here.store().unfinished_runs().unwrap(), []);
        assert_eq!(desk.calls().len(), 20);
    }
}

/// Nobody answers in time, or somebody ends the run that asks: the task fails, and the runs above go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_without_an_answer_is_a_failure_of_the_task() {
    for (how, code) in [
        ("late", "suspension-expired"),
        ("above", "suspension-expired"),
        ("cancelled", "cancelled"),
    ] {
        let desk = Desk::new();
        let world = three(&desk);
        let runtime = world.open().await;
        let waits = read_in(&runtime, "talk", THREE).await;
        let (asked, below) = question(&runtime);
        match how {
            "late" => {
                world.forward(Duration::from_hours(24 * 8));
                let error = answer(&runtime, &asked, &json!({ "decision": "once" }))
                    .await
                    .unwrap_err();
                assert_eq!(error.code, "suspension-expired");
            }
            "above" => {
                world.forward(Duration::from_hours(24 * 8));
                let stream = runtime.resume(&waits.result.run, Attended::Nobody).await.unwrap();
                Ran::collect(stream).await;
            }
            _ => {
                let cancelled = runtime.cancel(&below).await.unwrap().expect("nobody has it");
                assert_eq!(cancelled.stop_reason, StopReason::Cancelled);
            }
        }
        runtime.close().await;
        assert_eq!(
            stop_reason(&runtime, &waits.result.run),
            Some(StopReason::Finished),
            "{how}"
        );
        let events = runtime.store().events(&waits.session, 0, 100).unwrap();
        let said = serde_json::to_string(&events.last().unwrap().body).unwrap();
        assert!(
            said.contains(&format!("delegate: delegate-failed: error [{code}]")),
            "{said}"
        );
        assert!(runtime.store().unfinished_runs().unwrap().is_empty(), "{how}");
        assert!(desk.calls().is_empty());
    }
}

/// Whoever ends a run that waits for others ends these, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_others_is_cancelled_with_them() {
    let desk = Desk::new();
    let replies = asks(&[("desk__set", TEXT), ("desk__pay", TEXT)]) + "usage = { input_tokens = 9 }\n" + &says("done");
    let world = three(&desk).file("helper.toml", replies);
    let (here, elsewhere) = (world.open().await, world.open().await);
    let waits = read_in(&here, "talk", THREE).await;
    let (asked, below) = question(&here);
    let result = elsewhere
        .cancel(&waits.result.run)
        .await
        .unwrap()
        .expect("nobody has it");
    assert_eq!(
        (result.stop_reason, result.tool_calls, result.model_calls),
        (StopReason::Cancelled, 3, 1),
        "two delegations and one call"
    );
    assert_eq!(result.usage.input_tokens, Some(9));
    assert_eq!(stop_reason(&here, &below), Some(StopReason::Cancelled));
    assert!(here.store().unfinished_runs().unwrap().is_empty());
    let late = answer(&here, &asked, &json!({ "decision": "once" })).await.unwrap_err();
    assert_eq!(late.code, "run-finished");
    assert_eq!(desk.calls(), ["set a"]);
    here.close().await;
    elsewhere.close().await;
}

/// A run that has to wait for another process's helper gives way, and is continued from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_in_another_process_brings_its_answer() {
    let desk = Desk::new();
    let world = chief(&desk, &asks_once("desk__pay", TEXT));
    let (here, elsewhere) = (world.open().await, world.open().await);
    let waits = read_in(&here, "talk", "delegate helper go\nfinish").await;
    let [child] = children(&waits).try_into().unwrap();
    // Somebody there is asked, and thinks about it.
    let taken_back = std::sync::Arc::default();
    let person = crate::support::person::Person::default();
    let pondering = elsewhere.resume(&child.run, person.ponders(&taken_back)).await.unwrap();
    person.is_asked().await;
    let again = Ran::read(here.resume(&waits.result.run, Attended::Nobody).await.unwrap()).await;
    assert_eq!(again.result.stop_reason, StopReason::Suspended);
    let (asked, _) = question(&here);
    answer(&here, &asked, &json!({ "decision": "once" })).await.unwrap();
    assert_eq!(Ran::collect(pondering).await.result.text, "done");
    elsewhere.close().await;
    here.close().await;
    assert_eq!(stop_reason(&here, &waits.result.run), Some(StopReason::Finished));
    assert_eq!(desk.calls(), ["pay a"]);
}

fn values(directory: &Path, arguments: &[&str]) -> Vec<Value> {
    let ended = run(directory, &[arguments, &["--json"]].concat()).expect(0);
    ended
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The command line tells who works for whom, and shows how the runs above go on.
#[test]
fn the_program_tells_who_works_for_whom() {
    let arguments = r#"{"path":"a.md","content":"new"}"#;
    let world = chief(&Desk::new(), &asks_once("files__write", arguments))
        .file("work/a.md", "old")
        .with("[grants.files]\nfiles = \"read-write\"\n[consent.tools]\nfiles__write = \"ask\"");
    let text = world
        .config_text()
        .replace("[agents.helper]\n", "[agents.helper]\nplugins = [\"files\"]\n");
    let world = world.file("sandbar.toml", text);
    let root = world.path("");
    let ended = run(
        &root,
        &["run", "delegate helper Write it.\nfinish", "--session", "talk"],
    )
    .expect(9);
    let listed = values(&root, &["runs", "list"]);
    let [above, below] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert_eq!(
        (&above["state"], &below["state"]),
        (&json!("waiting-for-run"), &json!("waiting"))
    );
    assert_eq!((&above["parent"], &below["parent"]), (&Value::Null, &above["id"]));
    let (top, id) = (above["id"].as_str().unwrap(), below["id"].as_str().unwrap());
    let question = below["suspensions"][0]["id"].as_str().unwrap();
    assert!(
        ended.err.contains(&format!("sandbar runs answer {question} once")),
        "{}",
        ended.err
    );
    let shown = run(&root, &["runs", "list"]).expect(0).out;
    assert!(shown.contains(&format!("waiting for {id}")), "{shown}");
    assert!(shown.contains(&format!("for {top}: Write it.")), "{shown}");
    let sessions = values(&root, &["sessions", "list"]);
    let child = sessions.iter().find(|session| session["delegated_by"] == top).unwrap();
    assert_eq!(child["agent"], "helper");
    assert!(
        run(&root, &["sessions", "list"])
            .expect(0)
            .out
            .contains(&format!("for {top}: Write it."))
    );
    let session = child["id"].as_str().unwrap();
    let shown = run(&root, &["sessions", "show", session]).expect(0).out;
    assert!(
        shown.contains(&format!("works for {top}")) && shown.contains("Write it."),
        "{shown}"
    );
    assert!(run(&root, &["runs", "show", id]).expect(0).out.contains(top));

    let answered = run(&root, &["runs", "answer", question, "once"]).expect(0);
    assert!(answered.err.contains(&format!("{top} goes on")), "{}", answered.err);
    assert!(answered.out.contains("delegate: done"), "{}", answered.out);
    assert_eq!(world.read("work/a.md"), "new");
    assert!(values(&root, &["runs", "list"]).is_empty());
    let effects = &values(&root, &["runs", "show", top])[0]["effects"];
    assert_eq!(
        (&effects[0]["kind"], &effects[0]["name"], &effects[0]["idempotency_key"]),
        (&json!("delegate"), &json!("helper"), &json!(id))
    );
}
