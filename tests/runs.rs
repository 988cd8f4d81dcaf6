//! The command line for runs that wait, were cut off, or are recorded; and a person at a terminal.

// Questions at a real terminal.
mod terminal;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Child;

use sandbar::protocol::StopReason;
use serde_json::Value;

use crate::support::program::{Ended, run, sandbar};
use crate::support::script::{asks, says};
use crate::support::world::{World, request_in};

/// A call that changes `a.md`, then an answer.
fn writes(content: &str) -> String {
    let arguments = format!("{{\"path\":\"a.md\",\"content\":\"{content}\"}}");
    asks(&[("files__write", &arguments)]) + &says("done")
}

/// An agent that may change `a.md`, and with a rule only when somebody says so.
fn writer(script: impl AsRef<str>) -> World {
    let world = World::new()
        .tools(&["files"])
        .with("[grants.files]\nfiles = \"read-write\"");
    world.file("work/a.md", "old").script(script)
}

/// The same with the rule, and the configuration in a file.
fn asking(script: impl AsRef<str>) -> World {
    let world = writer(script).with("[consent.tools]\nfiles__write = \"ask\"");
    world.write_config();
    world
}

/// The values of a command that prints one a line.
fn values(directory: &Path, arguments: &[&str]) -> Vec<Value> {
    let ended = run(directory, &[arguments, &["--json"]].concat()).expect(0);
    let value = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    ended.out.lines().map(value).collect()
}

/// The run that has not ended, and the question that it waits with.
fn unfinished(world: &World) -> (String, Option<String>) {
    let mut found = values(&world.path(""), &["runs", "list"]);
    assert_eq!(found.len(), 1, "{found:?}");
    let run = found.remove(0);
    let question = run["suspensions"][0]["id"].as_str().map(str::to_owned);
    (run["id"].as_str().unwrap().to_owned(), question)
}

/// Starts a run that waits, and gives its question.
fn waits(world: &World) -> String {
    run(&world.path(""), &["run", "go", "--session", "talk"]).expect(9);
    unfinished(world).1.expect("it waits for an answer")
}

fn answer(world: &World, question: &str, words: &[&str]) -> Ended {
    run(&world.path(""), &[&["runs", "answer", question], words].concat())
}

/// A command that fails with one error, and says how to mend it.
fn fails(world: &World, arguments: &[&str], exit: i32, message: &str) {
    let ended = run(&world.path(""), arguments).expect(exit);
    let errors: Vec<&str> = ended.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", ended.err);
    assert!(
        errors[0].contains(message) && errors[0].len() < 400,
        "{arguments:?}: {}",
        errors[0]
    );
    assert!(
        ended.err.lines().any(|line| line.starts_with("hint: ")),
        "{}",
        ended.err
    );
}

/// The id of the call in all events of a kind.
fn call_ids(world: &World, kind: &str) -> Vec<Value> {
    let events = values(&world.path(""), &["sessions", "show", "talk"]);
    let of_kind = events.iter().filter(|event| event["type"] == kind);
    let id = |event: &Value| match kind {
        "suspended" => event["call"]["call_id"].clone(),
        _ => event["call_id"].clone(),
    };
    of_kind.map(id).collect()
}

#[test]
fn a_run_that_waits_is_answered_by_another_process() {
    let world = asking(writes("new"));
    let ended = run(&world.path(""), &["run", "go", "--session", "talk"]).expect(9);
    let (id, question) = unfinished(&world);
    let question = question.unwrap();
    for expected in [
        "waiting for an answer",
        "files__write asks for permission",
        "  │ -old",
        &format!("sandbar runs answer {question} once"),
    ] {
        assert!(ended.err.contains(expected), "`{expected}` is not in:\n{}", ended.err);
    }
    assert_eq!(world.read("work/a.md"), "old");
    let listed = run(&world.path(""), &["runs", "list"]).expect(0).out;
    for expected in [
        &id,
        "talk",
        "waiting for an answer",
        &question,
        "approval",
        "expires in",
    ] {
        assert!(listed.contains(expected), "`{expected}` is not in:\n{listed}");
    }

    let ended = answer(&world, &question, &["once"]).expect(0);
    assert_eq!(ended.out, "done\n");
    assert_eq!(world.read("work/a.md"), "new");
    assert_eq!(call_ids(&world, "suspended"), call_ids(&world, "tool.started"));
    assert_eq!(call_ids(&world, "tool.started").len(), 1);
    let shown = run(&world.path(""), &["runs", "show", &id]).expect(0).out;
    for expected in ["finished", "files__write", "once, by terminal"] {
        assert!(shown.contains(expected), "`{expected}` is not in:\n{shown}");
    }
    let shown = &values(&world.path(""), &["runs", "show", &id])[0];
    assert_eq!(
        (&shown["state"], &shown["suspensions"][0]["state"]),
        (&"ended".into(), &"resumed".into())
    );
    assert_eq!(values(&world.path(""), &["runs", "list"]), Vec::<Value>::new());
}

#[test]
fn what_is_always_allowed_can_be_revoked() {
    let world = asking(writes("one") + &writes("two") + &writes("three"));
    let question = waits(&world);
    answer(&world, &question, &["always"]).expect(0);
    let granted = run(&world.path(""), &["grants", "list"]).expect(0).out;
    for expected in ["files__write", "/work", "terminal"] {
        assert!(granted.contains(expected), "`{expected}` is not in:\n{granted}");
    }
    // In another session, too: they share the workspace.
    run(&world.path(""), &["run", "go"]).expect(0);
    assert_eq!(world.read("work/a.md"), "one");
    let number = values(&world.path(""), &["grants", "list"])[0]["number"].to_string();
    run(&world.path(""), &["grants", "revoke", &number]).expect(0);
    fails(&world, &["grants", "revoke", &number], 2, "there is no approval");
    run(&world.path(""), &["run", "go"]).expect(9);
}

#[test]
fn the_model_reads_why_it_was_denied() {
    let refused = "[[reply]]\nexpect = { last = 'too dangerous' }\ntext = \"I see.\"\n";
    let first = asks(&[("files__write", r#"{"path":"a.md","content":"new"}"#)]);
    let world = asking(first + refused);
    let question = waits(&world);
    let ended = answer(&world, &question, &["deny", "too", "dangerous"]).expect(0);
    assert_eq!(
        (ended.out.as_str(), world.read("work/a.md").as_str()),
        ("I see.\n", "old")
    );
}

#[test]
fn mistakes_are_told_with_a_hint() {
    let world = asking(writes("new"));
    let question = waits(&world);
    let (id, _) = unfinished(&world);
    fails(&world, &["run", "more", "--session", "talk"], 1, "waits for an answer");
    fails(
        &world,
        &["runs", "answer", &question, "perhaps"],
        2,
        "the answer `perhaps` does not fit",
    );
    fails(
        &world,
        &["runs", "answer", &question, r#"{"decision":1}"#],
        2,
        "does not fit",
    );
    fails(
        &world,
        &["runs", "answer", "q-0", "once"],
        2,
        "nothing waits for an answer as `q-0`",
    );
    fails(&world, &["runs", "show", "r-0"], 2, "there is no run `r-0`");
    let long = "x".repeat(10_000);
    for (bad, why) in [("../talk", "starts with `.`"), (long.as_str(), "is 10000 bytes long")] {
        fails(&world, &["runs", "resume", bad], 2, why);
        fails(&world, &["runs", "answer", bad, "once"], 2, why);
        fails(&world, &["run", "hi", "--session", bad], 2, why);
        fails(&world, &["sessions", "show", bad], 2, why);
    }
    run(&world.path(""), &["runs", "resume", &id]).expect(9);
    answer(&world, &question, &["once"]).expect(0);
    fails(
        &world,
        &["runs", "answer", &question, "once"],
        2,
        "was answered already, by `terminal`",
    );
    fails(&world, &["runs", "resume", &id], 2, "has ended");
    fails(&world, &["runs", "cancel", &id], 2, "has ended");
    fails(&world, &["runs", "replay", &id, "--step", "9"], 2, "has no step 9");
    fails(
        &world,
        &["runs", "show", &id, "--data-dir", "none"],
        2,
        "there is no directory `none`",
    );
}

/// Clocks in these worlds stand at the beginning of 2026; the program has the machine's.
#[tokio::test]
async fn an_answer_may_come_too_late() {
    let world = asking(writes("new"));
    let runtime = world.open().await;
    let stream = runtime.run(request_in("talk", "go")).await.unwrap();
    let result = stream.result().await.unwrap();
    assert_eq!(result.stop_reason, StopReason::Suspended);
    runtime.close().await;
    drop(runtime);
    let (id, question) = unfinished(&world);
    let listed = run(&world.path(""), &["runs", "list"]).expect(0).out;
    assert!(listed.contains("has expired"), "{listed}");
    let question = question.unwrap();
    fails(&world, &["runs", "answer", &question, "once"], 2, "has expired");
    let shown = run(&world.path(""), &["runs", "show", &id]).expect(0).out;
    assert!(shown.contains("not answered in time"), "{shown}");
    assert_eq!(world.read("work/a.md"), "old");
}

/// A run that waits for its model; should a test fail to stop it, it ends by itself.
fn hanging(world: &World) -> Child {
    let arguments = ["run", "go", "--session", "talk", "--json", "--timeout", "60"];
    let mut child = sandbar(world.write_config(), &arguments).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut read = String::new();
    while !read.contains("model.started") {
        assert!(out.read_line(&mut read).unwrap() > 0, "{read}");
    }
    child
}

#[test]
fn a_run_of_another_process_is_cancelled_there() {
    let world = writer("[[reply]]\nhang = true\n");
    let mut child = hanging(&world);
    let (id, _) = unfinished(&world);
    let ended = run(&world.path(""), &["runs", "cancel", &id]).expect(0);
    let left = format!("process {} has the session, and ends it", child.id());
    assert!(ended.err.contains(&left), "{}", ended.err);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(values(&world.path(""), &["runs", "list"]), Vec::<Value>::new());
}

#[test]
fn a_run_is_cancelled_from_elsewhere() {
    let world = asking(writes("new"));
    waits(&world);
    let (id, _) = unfinished(&world);
    let ended = run(&world.path(""), &["runs", "cancel", &id]).expect(0);
    assert!(ended.err.contains("cancelled"), "{}", ended.err);
    let shown = &values(&world.path(""), &["runs", "show", &id])[0];
    assert_eq!(
        (&shown["state"], &shown["stop_reason"]),
        (&"ended".into(), &"cancelled".into())
    );
    assert_eq!(world.read("work/a.md"), "old");
}

#[test]
fn a_wrong_configuration_hides_no_run() {
    let world = asking(writes("new"));
    let question = waits(&world);
    let wrong = format!("{}\n[nonsense]\n", world.config_text());
    let world = world.file("sandbar.toml", wrong);
    assert_eq!(unfinished(&world).1.as_deref(), Some(question.as_str()));
    run(&world.path(""), &["grants", "list"]).expect(0);
    fails(&world, &["runs", "answer", &question, "once"], 2, "nonsense");
}

#[test]
fn a_run_that_has_used_up_its_steps_asks_for_more() {
    let world = writer(writes("new")).agent("limits = { steps = 1, when_used_up = \"ask\" }");
    world.write_config();
    let ended = run(&world.path(""), &["run", "go"]).expect(9);
    assert!(ended.err.contains("the run has used up a limit"), "{}", ended.err);
    let question = unfinished(&world).1.unwrap();
    let ended = answer(&world, &question, &["extend", "20"]).expect(0);
    assert_eq!(
        (ended.out.as_str(), world.read("work/a.md").as_str()),
        ("done\n", "new")
    );

    let ended = run(&world.path(""), &["run", "go"]).expect(9);
    assert!(ended.err.contains("`stop`"), "{}", ended.err);
    let question = unfinished(&world).1.unwrap();
    answer(&world, &question, &["stop"]).expect(4);
}

/// An agent whose pattern does what the message says.
fn probing() -> World {
    let world = World::new().guest("pattern_probe").pattern("pattern_probe");
    world.write_config();
    world
}

#[test]
fn a_pattern_gets_its_answer() {
    let world = probing();
    let ended = run(&world.path(""), &["run", "ask which colour?"]).expect(9);
    assert!(ended.err.contains("  │ which colour?"), "{}", ended.err);
    let question = unfinished(&world).1.unwrap();
    let ended = answer(&world, &question, &["sea", "green"]).expect(0);
    assert!(ended.out.contains("sea green"), "{}", ended.out);
}

#[test]
fn a_recorded_run_is_decided_as_it_was_or_not() {
    let world = writer(writes("new"));
    world.write_config();
    run(&world.path(""), &["run", "go", "--session", "talk"]).expect(0);
    let id = values(&world.path(""), &["sessions", "list"])[0]["last_run"]
        .as_str()
        .unwrap()
        .to_owned();
    let ended = run(&world.path(""), &["runs", "replay", &id]).expect(0);
    for expected in ["request: go", "user      go", "in 4 steps"] {
        assert!(ended.out.contains(expected), "`{expected}` is not in:\n{}", ended.out);
    }
    let ended = run(&world.path(""), &["runs", "replay", &id, "--step", "3"]).expect(0);
    assert!(
        ended.out.contains("step 3") && !ended.out.contains("step 2"),
        "{}",
        ended.out
    );
    let replay = &values(&world.path(""), &["runs", "replay", &id])[0];
    assert_eq!(
        (&replay["agrees"], replay["steps"].as_array().unwrap().len()),
        (&true.into(), 4)
    );
    assert_eq!(world.read("work/a.md"), "new", "nothing is called");

    // Another component under the same name decides otherwise.
    let world = probing();
    run(&world.path(""), &["run", "finish early", "--session", "talk"]).expect(0);
    let id = values(&world.path(""), &["sessions", "list"])[0]["last_run"]
        .as_str()
        .unwrap()
        .to_owned();
    let world = world.guest_as("pattern_hasty", "pattern_probe");
    let ended = run(&world.path(""), &["runs", "replay", &id]).expect(3);
    assert!(ended.err.contains("it is not what was approved"), "{}", ended.err);
    run(&world.path(""), &["plugins", "approve", "pattern_probe", "--yes"]).expect(0);
    let ended = run(&world.path(""), &["runs", "replay", &id]).expect(7);
    for expected in ["recorded with another component", "✗ then", "✗ now"] {
        assert!(ended.out.contains(expected), "`{expected}` is not in:\n{}", ended.out);
    }
}

#[test]
fn a_run_that_was_cut_off_is_gone_on_with() {
    for again in [
        &["runs", "resume"][..],
        &["run", "more", "--session", "talk"],
        &["chat", "--session", "talk"],
    ] {
        let world = writer("[[reply]]\nhang = true\n");
        let mut child = hanging(&world);
        let (id, question) = unfinished(&world);
        assert_eq!(question, None);
        let process = child.id().to_string();
        let listed = run(&world.path(""), &["runs", "list"]).expect(0).out;
        assert!(listed.contains(&format!("running in process {process}")), "{listed}");
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = run(&world.path(""), &["runs", "list"]).expect(0).out;
        assert!(listed.contains("cut off"), "{listed}");

        let world = world.script(says("first") + &says("second"));
        let arguments = match again {
            ["runs", "resume"] => vec!["runs", "resume", id.as_str()],
            again => again.to_vec(),
        };
        let ended = run(&world.path(""), &arguments).expect(0);
        match again {
            ["run", ..] => assert_eq!(ended.out, "first\nsecond\n"),
            _ => assert_eq!(ended.out, "first\n"),
        }
        let told = ended.err.contains("the last run was cut off: going on with it");
        assert_eq!(told, again[0] != "runs", "{}", ended.err);
        assert_eq!(values(&world.path(""), &["runs", "list"]), Vec::<Value>::new());
    }
}
