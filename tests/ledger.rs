//! What is written down beside the journal: the audit of what was done, which plugins were approved, and which are put aside.

/// What a person decides on.
mod difference;
/// Plugins that nobody has seen before.
mod first_sight;
/// `sandbar.lock`: new plugins, changed ones, and who approves.
mod lock;
/// Plugins that fail again and again.
mod put_aside;

use std::io::{BufRead as _, BufReader};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::program::{Ended, run, sandbar};
use crate::support::script::{asks, says};
use crate::support::world::World;

/// A world with its configuration as a file, for the program.
fn written(world: World) -> World {
    world.write_config();
    world
}

fn run_in(world: &World, arguments: &[&str]) -> Ended {
    run(&world.path(""), arguments)
}

/// Lines of JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `tool.call echo__echo allowed default`, of entries as JSON.
fn told(text: &str) -> Vec<String> {
    let line = |entry: &Value| {
        let word = |key: &str| entry[key].as_str().unwrap().to_owned();
        let by = match &entry["by"] {
            Value::String(word) => word.clone(),
            by => {
                let (kind, name) = by.as_object().unwrap().iter().next().unwrap();
                format!("{kind} {}", name.as_str().unwrap())
            }
        };
        format!("{} {} {} {by}", word("action"), word("target"), word("decision"))
    };
    lines(text).iter().map(line).collect()
}

/// An agent that wants two calls, of which a rule denies one and another allows one.
fn audited() -> World {
    let calls = [("echo__echo", r#"{"text":"hunter2"}"#), ("echo__count", "{}")];
    let rules = "[consent.tools]\necho__count = \"deny\"\n\"echo__e*\" = \"allow\"\n";
    written(
        World::new()
            .guest("echo")
            .tools(&["echo"])
            .with(rules)
            .script(asks(&calls) + &says("done")),
    )
}

#[test]
fn what_was_done_is_told_with_who_decided_it() {
    let world = audited();
    run_in(&world, &["run", "--session", "talk", "go"]).expect(0);
    let listed = run_in(&world, &["audit", "list", "--json"]).expect(0).out;
    assert_eq!(
        told(&listed),
        [
            "plugin.record echo allowed default",
            "model.call script allowed default",
            "tool.call echo__echo allowed rule consent.tools.\"echo__e*\"",
            "tool.call echo__count denied rule consent.tools.\"echo__count\"",
            "model.call script allowed default",
        ]
    );
    assert!(!listed.contains("hunter2"), "arguments are there as digests");
    assert_eq!(lines(&listed)[2]["digest"].as_str().unwrap().len(), 64);
    let shown = run_in(
        &world,
        &[
            "audit",
            "list",
            "--plugin",
            "echo",
            "--action",
            "tool.call",
            "--limit",
            "1",
        ],
    )
    .expect(0)
    .out;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("echo__count") && shown.contains("denied"), "{shown}");
    let of_session = run_in(
        &world,
        &["audit", "list", "--json", "--session", "talk", "--since", "1h"],
    )
    .expect(0)
    .out;
    assert_eq!(lines(&of_session).len(), 4);
    assert_eq!(
        run_in(&world, &["audit", "list", "--session", "other"]).expect(0).out,
        ""
    );
    let wrong = run_in(&world, &["audit", "list", "--since", "yesterday"]).expect(2);
    assert!(wrong.err.contains("wanted a span of time"), "{}", wrong.err);
}

#[test]
fn an_answer_and_a_standing_approval_have_their_person() {
    let rules = "[consent.tools]\necho__count = \"ask\"\n";
    let world = World::new().guest("echo").tools(&["echo"]).with(rules);
    let world = written(world.script((asks(&[("echo__count", "{}")]) + &says("done")).repeat(2)));
    run_in(&world, &["run", "--session", "talk", "go"]).expect(9);
    let waits = run_in(&world, &["runs", "list", "--json"]).expect(0).out;
    let waits = lines(&waits);
    let id = waits[0]["suspensions"][0]["id"].as_str().unwrap();
    run_in(&world, &["runs", "answer", id, "always"]).expect(0);
    // The second run asks nobody: somebody has said so once.
    run_in(&world, &["run", "--session", "talk", "again"]).expect(0);
    run_in(&world, &["grants", "revoke", "1"]).expect(0);
    let listed = run_in(&world, &["audit", "list", "--json"]).expect(0).out;
    let told: Vec<String> = told(&listed)
        .into_iter()
        .filter(|line| !line.starts_with("model.call"))
        .collect();
    assert_eq!(
        told,
        [
            "plugin.record echo allowed default",
            "answer.approval echo__count allowed person terminal",
            "approval.give echo__count allowed person terminal",
            "tool.call echo__count allowed person terminal",
            "tool.call echo__count allowed person terminal",
            "approval.revoke echo__count allowed person terminal",
        ]
    );
}

#[test]
fn a_chain_is_checked_here_and_elsewhere() {
    let world = audited();
    run_in(&world, &["run", "go"]).expect(0);
    let sound = run_in(&world, &["audit", "verify", "--json"]).expect(0).out;
    let sound = &lines(&sound)[0];
    assert_eq!((sound["first"].as_u64(), sound["last"].as_u64()), (Some(1), Some(5)));
    let head = sound["head"].as_str().unwrap();
    run_in(&world, &["audit", "verify", "--head", head]).expect(0);
    let cut = run_in(&world, &["audit", "verify", "--head", &"0".repeat(64)]).expect(8);
    assert!(
        cut.err
            .contains("the chain ends at 5\nhint: entries at the end were cut off"),
        "{}",
        cut.err
    );
    let wrong = run_in(&world, &["audit", "verify", "--head", "xyz"]).expect(2);
    assert!(wrong.err.contains("`xyz` is no hash of an entry"), "{}", wrong.err);

    let export = run_in(&world, &["audit", "export"]).expect(0).out;
    let check = |text: &str, arguments: &[&str], exit: i32, said: &str| {
        std::fs::write(world.path("export.jsonl"), text).unwrap();
        let ended = run_in(
            &world,
            &[&["audit", "verify", "--file", "export.jsonl"], arguments].concat(),
        )
        .expect(exit);
        assert!((ended.out + &ended.err).contains(said), "{text}");
    };
    check(
        &export,
        &["--head", head],
        0,
        &format!("5 entries, none changed; the last hash is {head}"),
    );
    let rest = run_in(&world, &["audit", "export", "--from", "4"]).expect(0).out;
    check(&rest, &[], 0, "2 entries from 4 on, none changed");
    check("", &[], 0, "no entries");
    let unfit = "entry 4 of the audit is damaged: its hash doesn't fit";
    check(&export.replacen("denied", "allowed", 1), &[], 8, unfit);
    let entries: Vec<&str> = export.lines().collect();
    let without = [&entries[..2], &entries[3..]].concat().join("\n");
    check(&without, &[], 8, "entry 3 of the audit is damaged: it is missing");
    check(
        "{\"id\":1}\n",
        &[],
        8,
        "line 1 of `export.jsonl` is no entry of an audit",
    );
    // That its end is missing, the rest can't tell; whoever has kept the last hash can.
    let cut = entries[..4].join("\n");
    check(&cut, &[], 0, "4 entries, none changed");
    check(&cut, &["--head", head], 8, "the chain ends at 4");
}

#[test]
fn two_programs_and_a_killed_one_write_one_chain() {
    let world = audited().file("silent.toml", "[[reply]]\nhang = true\n");
    let silent =
        "[models.silent]\nprovider = \"scripted\"\nscript = \"silent.toml\"\n[agents.waiting]\nmodel = \"silent\"\n";
    let world = written(world.agents(silent));
    let arguments = ["run", "--json", "--agent", "waiting", "--session", "killed", "go"];
    let mut killed = sandbar(&world.path(""), &arguments).spawn().unwrap();
    let mut out = BufReader::new(killed.stdout.take().unwrap()).lines();
    assert!(out.any(|line| line.unwrap().contains("model.started")), "it ended");
    let others: Vec<_> = (0..4)
        .map(|n| {
            sandbar(&world.path(""), &["run", "--session", &format!("s{n}"), "go"])
                .spawn()
                .unwrap()
        })
        .collect();
    for other in others {
        Ended::from(other.wait_with_output().unwrap()).expect(0);
    }
    kill_process(Pid::from_child(&killed), Signal::KILL).unwrap();
    killed.wait().unwrap();
    let sound = run_in(&world, &["audit", "verify", "--json"]).expect(0).out;
    // Four calls of a model and four of tools from each pair of replies, the silent call, and the plugin that was new.
    assert_eq!(lines(&sound)[0]["last"].as_u64(), Some(4 * 4 + 2));
}
