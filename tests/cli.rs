//! The program: exit codes, what goes where, several of them at once.

// From an empty directory to an answer: `init`, `doctor`, `demo`, and the program's own texts.
mod begin;
// Signals, and sessions that another process holds.
mod interrupts;
// What plugins and sessions look like.
mod shown;
// Hostile text at a terminal.
mod terminal;

use std::io::Read as _;

use serde_json::Value;

use crate::support::program::{Ended, run, sandbar};
use crate::support::script::{asks_once, says};
use crate::support::world::World;

const HANGS: &str = "[[reply]]\nhang = true\n";

/// A world with its configuration in a file, and an agent that has the tools of `echo`.
fn world(script: impl AsRef<str>) -> World {
    let world = World::new().guest("echo").tools(&["echo"]).script(script);
    world.write_config();
    world
}

/// Every line is a value.
fn json_lines(text: &str) -> Vec<Value> {
    let value = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(value).collect()
}

/// A command that fails: its exit code and what it says are the same with `--json`, where every line is a value.
fn fails(world: &World, arguments: &[&str], exit: i32, message: &str) {
    let plain = run(&world.path(""), arguments).expect(exit);
    let errors: Vec<&str> = plain
        .err
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .collect();
    let [error] = errors[..] else {
        panic!("one error is wanted:\n{}", plain.err)
    };
    assert!(error.contains(message), "`{message}` is not in `{error}`");
    assert!(!plain.out.contains("error"), "{}", plain.out);

    let json = run(&world.path(""), &[arguments, &["--json"]].concat()).expect(exit);
    json_lines(&json.out);
    let said = json_lines(&json.err);
    let errors: Vec<&Value> = said.iter().filter(|value| value["severity"] == "error").collect();
    let [error] = errors[..] else {
        panic!("one error is wanted:\n{}", json.err)
    };
    for key in ["code", "kind", "message"] {
        assert!(
            error[key].as_str().is_some_and(|text| !text.is_empty()),
            "no `{key}` in {error}"
        );
    }
    assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    let hint = plain.err.lines().find_map(|line| line.strip_prefix("hint: "));
    assert_eq!(error["hint"].as_str(), hint, "{}", plain.err);
}

#[test]
fn wrong_usage_is_2() {
    let world = world(says("hello"));
    fails(&world, &["run"], 2, "there is no message");
    fails(&world, &["run", "hi", "--agent", "mian"], 2, "there is no agent `mian`");
    fails(&world, &["run", "hi", "--ask"], 2, "there is no terminal");
    fails(
        &world,
        &["run", "hi", "--config", "none.toml"],
        2,
        "`none.toml` does not exist",
    );
    fails(&world, &["plugins", "inspect", "ecko"], 2, "there is no plugin `ecko`");
    fails(&world, &["sessions", "show", "lost"], 2, "there is no session `lost`");
    fails(
        &world,
        &["sessions", "show", "lost", "--data-dir", "none"],
        2,
        "there is no directory `none`",
    );
    fails(&world, &["man", "pugins"], 2, "no command `pugins`");
    for wrong in [
        &["run", "hi", "--steps", "0"][..],
        &["run", "hi", "--sesion", "x"],
        &["run", "hi", "--session", "a b"],
        &["run", "hi", "--yes", "--ask"],
        &["run", "hi", "--set", "nothing"],
        &["bogus"],
        &["plugins"],
    ] {
        let ended = run(&world.path(""), wrong).expect(2);
        assert_eq!(ended.out, "", "{wrong:?}");
        assert!(
            ended.err.contains("Usage: sandbar") || ended.err.starts_with("error: "),
            "{}",
            ended.err
        );
    }
}

#[test]
fn limits_are_4() {
    let world = world(asks_once("echo__echo", r#"{"text":"x"}"#));
    fails(&world, &["run", "hi", "--steps", "1"], 4, "used up its limit of 1 step");
    fails(
        &world,
        &["run", "hi", "--tool-calls", "0"],
        4,
        "used up its limit of 0 tool calls",
    );
}

#[test]
fn time_that_is_over_is_5() {
    fails(
        &world(HANGS),
        &["run", "hi", "--timeout", "1"],
        5,
        "the run's 1 s are over",
    );
}

#[test]
fn a_model_that_fails_is_6() {
    fails(&world(""), &["run", "hi"], 6, "has no reply");
    let overloaded = "[[reply]]\nerror = { code = 'overloaded', message = 'too many requests' }\n";
    fails(&world(overloaded), &["run", "hi"], 6, "too many requests");
}

#[test]
fn a_plugin_that_is_broken_and_a_pattern_that_fails_are_7() {
    let world = world(says("hello")).guest("pattern_trap").guest("trap_in_describe");
    fails(
        &world,
        &["plugins", "inspect", "trap_in_describe"],
        7,
        "`trap_in_describe` is broken",
    );
    fails(
        &world,
        &["run", "hi", "--set", "agents.main.pattern=pattern_trap"],
        7,
        "the pattern trapped in step 1",
    );
    fails(
        &world,
        &["run", "hi", "--set", "agents.main.pattern=trap_in_describe"],
        7,
        "can't be used",
    );
    // A broken tool is no failure of the run: the agent works without it, and is told of.
    let broken = ["run", "hi", "--set", "agents.main.plugins=['trap_in_describe']"];
    let ended = run(&world.path(""), &broken).expect(0);
    assert_eq!(ended.out, "hello\n");
    assert!(
        ended
            .err
            .starts_with("warning: the plugin `trap_in_describe` can't be used: "),
        "{}",
        ended.err
    );
    let warnings = json_lines(&run(&world.path(""), &[&broken[..], &["--json"]].concat()).expect(0).err);
    assert_eq!(warnings[0]["severity"], "warning");
}

#[test]
fn storage_that_fails_is_8() {
    let world = world(says("hello"));
    fails(
        &world,
        &["run", "hi", "--data-dir", "replies.toml"],
        8,
        "could not create the data directory",
    );
    let spoiled = world.file("spoiled/sandbar.db", "this is no database");
    fails(
        &spoiled,
        &["run", "hi", "--data-dir", "spoiled/sandbar.db/x"],
        8,
        "could not create the data directory",
    );
}

/// Standard output has the model's text alone, and with `--json` events and previews alone; so that both can be piped on.
#[test]
fn standard_output_is_data() {
    let world = world(asks_once("echo__progress", r#"{"times":2}"#));
    let plain = run(&world.path(""), &["run", "hi"]).expect(0);
    assert_eq!(plain.out, "done\n");
    for part in [
        "echo__progress",
        "  │ 2 of 2\n",
        "finished · ",
        "continue: sandbar run --session s-",
    ] {
        assert!(plain.err.contains(part), "`{part}` is not in:\n{}", plain.err);
    }
    let json = run(&world.path(""), &["run", "hi", "--json"]).expect(0);
    assert_eq!(json.err, "");
    let values = json_lines(&json.out);
    let of = |kind: &str| values.iter().filter(|value| value["type"] == kind).count();
    assert_eq!(
        (
            of("run.started"),
            of("tool.started"),
            of("tool.finished"),
            of("run.finished")
        ),
        (1, 1, 1, 1)
    );
    assert!(of("tool.delta") > 0 && of("model.delta") > 0, "{}", json.out);
    let sequences = values.iter().filter_map(|value| value["sequence"].as_u64());
    assert!(sequences.eq(1..=12), "{}", json.out);
}

#[test]
fn lists_are_data() {
    let world = world(says("hello")).guest("trap_in_describe");
    run(&world.path(""), &["run", "hi"]).expect(0);
    for (command, keys) in [
        (
            &["plugins", "list"][..],
            &["name", "origin", "digest", "bytes", "files", "status"][..],
        ),
        (
            &["plugins", "inspect", "echo"],
            &[
                "name", "kind", "digest", "imports", "exports", "granted", "tools", "limits",
            ],
        ),
        (
            &["sessions", "list"],
            &["id", "agent", "title", "events", "runs", "last_stop_reason"],
        ),
        (&["config", "show"], &["key", "value", "origin"]),
        (&["doctor"], &["check", "health", "text"]),
        (&["init", "new"], &["path", "done"]),
    ] {
        let ended = run(&world.path(""), &[command, &["--json"]].concat()).expect(0);
        assert_eq!(ended.err, "", "{command:?}");
        let values = json_lines(&ended.out);
        assert!(!values.is_empty(), "{command:?}");
        for (value, key) in values
            .iter()
            .flat_map(|value| keys.iter().map(move |key| (value, *key)))
        {
            assert!(!value[key].is_null(), "{command:?}: no `{key}` in {value}");
        }
    }
}

/// A reader that goes away, as `head` does, is no failure.
#[test]
fn nobody_has_to_read_to_the_end() {
    let world = world(asks_once("echo__echo", r#"{"text":"x"}"#));
    let mut child = sandbar(&world.path(""), &["run", "hi", "--json"]).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
    let [session] = &json_lines(&run(&world.path(""), &["sessions", "list", "--json"]).expect(0).out)[..] else {
        panic!("one session is wanted");
    };
    assert_eq!(session["last_stop_reason"], "finished", "the run went on");
}

#[test]
fn a_message_may_come_from_standard_input() {
    let world = world("[[reply]]\nexpect = { last = '^one\\ntwo$' }\ntext = 'read'\n").file("message", "one\ntwo\n");
    for arguments in [&["run"][..], &["run", "-"]] {
        let message = std::fs::File::open(world.path("message")).unwrap();
        let ended: Ended = sandbar(&world.path(""), arguments)
            .stdin(message)
            .output()
            .unwrap()
            .into();
        assert_eq!(ended.expect(0).out, "read\n");
    }
}
