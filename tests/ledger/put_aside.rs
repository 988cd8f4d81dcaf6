//! A plugin whose calls fail again and again is not called any more, until a person brings it back.

use sandbar::Runtime;
use sandbar::protocol::ToolOutcome;

use super::{lines, run_in};
use crate::support::ran::told;
use crate::support::world::{World, ask_in};

const CRASH: &str = "tools echo__noisy {\"bytes\":1,\"panic\":true}";
const FAIL: &str = "tools echo__fail {}";
const GOOD: &str = "tools echo__echo {\"text\":\"hi\"}";

/// An agent that does what the message says.
fn world() -> World {
    World::new()
        .guest("echo")
        .guest("pattern_probe")
        .pattern("pattern_probe")
        .tools(&["echo"])
}

/// The codes of the errors of calls, or the text of a good one.
async fn outcomes(runtime: &Runtime, calls: &[&str]) -> Vec<String> {
    let ran = ask_in(runtime, "talk", &calls.join("\n")).await;
    let calls = ran.calls();
    let short = |text: String| text.split(": ").next().unwrap().to_owned();
    calls.iter().map(|(_, outcome)| short(told(outcome))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_crashes_in_a_row_put_a_plugin_aside() {
    let world = world();
    let runtime = world.open().await;
    let expected = [vec!["plugin-trapped"; 5], vec!["plugin-put-aside"; 2]].concat();
    assert_eq!(outcomes(&runtime, &[&[CRASH; 6][..], &[GOOD]].concat()).await, expected);
    let ran = ask_in(&runtime, "talk", GOOD).await;
    let calls = ran.calls();
    let ToolOutcome::Error(error) = calls[0].1 else {
        panic!("it was called")
    };
    let said = error.text();
    assert!(
        said.contains("failed again and again, at last: `echo` crashed"),
        "{said}"
    );
    assert!(said.contains("`sandbar plugins enable echo`"), "{said}");
    runtime.close().await;
    drop(runtime);
    // It is so in the next process as well, and ends when a person wants it to.
    let runtime = world.open().await;
    assert_eq!(outcomes(&runtime, &[GOOD]).await, ["plugin-put-aside"]);
    runtime.store().enable_plugin("echo", "ada").await.unwrap();
    assert_eq!(
        outcomes(&runtime, &[GOOD, CRASH, GOOD]).await,
        ["hi", "plugin-trapped", "hi"]
    );
}

/// Failures are counted across processes, and a good call ends a row of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_add_up_over_processes() {
    let world = world();
    for _ in 0..2 {
        let runtime = world.open().await;
        outcomes(&runtime, &[CRASH, CRASH]).await;
        runtime.close().await;
    }
    let runtime = world.open().await;
    let calls = [GOOD, CRASH, CRASH, CRASH, CRASH, GOOD];
    let crashed = "plugin-trapped";
    assert_eq!(
        outcomes(&runtime, &calls).await,
        ["hi", crashed, crashed, crashed, crashed, "hi"]
    );
    // The ninth and the tenth of late.
    assert_eq!(
        outcomes(&runtime, &[CRASH, GOOD, CRASH, GOOD]).await,
        [crashed, "hi", crashed, "plugin-put-aside"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tools_own_errors_do_not_count() {
    let world = world();
    let runtime = world.open().await;
    let outcomes = outcomes(&runtime, &[FAIL; 20]).await;
    assert!(!outcomes.iter().any(|code| code == "plugin-put-aside"), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_count_and_another_component_starts_afresh() {
    // Its own: the pattern, and what comes later, have the time that they need.
    let world = world().manifest("echo", "[limits]\nwall_ms = 50");
    let runtime = world.open().await;
    let slow = "tools echo__slow {\"ms\":60000}";
    let expected = [vec!["wall-limit"; 5], vec!["plugin-put-aside"]].concat();
    assert_eq!(outcomes(&runtime, &[slow; 6]).await, expected);
    runtime.close().await;
    let mut other = crate::support::built::guest("echo");
    other.extend([0, 2, 1, b'x']);
    let world = world
        .plugin("echo", &other)
        .manifest("echo", "[limits]\nwall_ms = 30000");
    let runtime = world.open().await;
    assert_eq!(outcomes(&runtime, &[GOOD]).await, ["hi"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_switched_off() {
    let world = world().limits("put_aside = false");
    let runtime = world.open().await;
    assert_eq!(outcomes(&runtime, &[CRASH; 7]).await, ["plugin-trapped"; 7]);
}

/// A pattern that fails ends its run; putting it aside would end those that others have begun with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_is_never_put_aside() {
    let world = World::new().guest("pattern_trap").pattern("pattern_trap");
    let runtime = world.open().await;
    for n in 0..7 {
        let ran = ask_in(&runtime, &format!("s{n}"), "go").await;
        assert_eq!(ran.result.error.as_ref().unwrap().code, "plugin-trapped", "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_shows_it_and_brings_it_back() {
    let world = world();
    let runtime = world.open().await;
    outcomes(&runtime, &[CRASH; 5]).await;
    runtime.close().await;
    drop(runtime);
    world.write_config();
    let shown = run_in(&world, &["run", GOOD]).expect(0).err;
    let name = "  ✗ echo__echo  plugin-put-aside: the plugin `echo` was put aside because it failed again and again, at last: ";
    let line = shown.lines().find(|line| line.starts_with(name)).expect(&shown);
    assert!(
        line.contains("at last: `echo` crashed: ") && !line.ends_with('…'),
        "{line}"
    );
    let hint = "\n    hint: go on without it; a person can bring it back with `sandbar plugins enable echo`\n";
    assert!(shown.contains(hint), "{shown}");
    let listed = run_in(&world, &["plugins", "list"]).expect(0);
    assert!(listed.out.contains("put aside"), "{}", listed.out);
    assert!(
        listed.err.contains("echo was put aside: `echo` crashed"),
        "{}",
        listed.err
    );
    let json = run_in(&world, &["plugins", "list", "--json"]).expect(0).out;
    let echo = lines(&json)
        .into_iter()
        .find(|plugin| plugin["name"] == "echo")
        .unwrap();
    assert!(
        echo["put_aside"]["reason"].as_str().unwrap().contains("crashed"),
        "{echo}"
    );
    let enabled = run_in(&world, &["plugins", "enable", "echo", "--json"]).expect(0).out;
    assert_eq!(lines(&enabled)[0]["enabled"], true);
    let again = run_in(&world, &["plugins", "enable", "echo"]).expect(2);
    assert!(again.err.contains("not put aside"), "{}", again.err);
    let audited = run_in(&world, &["audit", "list", "--json", "--action", "plugin"])
        .expect(0)
        .out;
    let audited = super::told(&audited);
    assert!(
        audited
            .iter()
            .any(|line| line.starts_with("plugin.put-aside `echo` crashed")),
        "{audited:?}"
    );
    assert!(
        audited
            .iter()
            .any(|line| line == "plugin.enable echo allowed person terminal"),
        "{audited:?}"
    );
}
