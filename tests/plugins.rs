//! Instances: fresh or warm, how many there are, what a plugin is told and given.

use sandbar::protocol::{RunRequest, StreamItem};

use crate::support::ran::{Ran, finished, told};
use crate::support::script::{asks, asks_once, says};
use crate::support::world::{World, ask, ask_in};

/// An agent with these plugins that does what the message says.
fn probed(tools: &[&str]) -> World {
    World::new()
        .guest("pattern_probe")
        .pattern("pattern_probe")
        .tools(tools)
}

async fn check(world: &World, message: &str, tool: &str, expected: &str) {
    let ran = world.ask(message).await;
    assert_eq!(ran.said(tool), expected, "{message}");
}

/// What `count` of a plugin answers, three times in a session and once in another.
async fn counts(world: World) -> Vec<String> {
    let runtime = world.open().await;
    let mut counts = Vec::new();
    for session in ["one", "one", "other", "one"] {
        let ran = ask_in(&runtime, session, "tools counter__count {}").await;
        counts.push(ran.said("counter__count"));
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_fresh_or_a_sessions_own() {
    let world = || probed(&["counter"]).guest_as("echo", "counter");
    assert_eq!(counts(world()).await, ["1", "1", "1", "1"]);
    assert_eq!(
        counts(world().manifest("counter", "lifetime = \"call\"")).await,
        ["1", "1", "1", "1"]
    );
    assert_eq!(
        counts(world().manifest("counter", "lifetime = \"session\"")).await,
        ["1", "2", "1", "3"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_instance_that_crashed_is_replaced() {
    let world = probed(&["counter"])
        .guest_as("echo", "counter")
        .manifest("counter", "lifetime = \"session\"");
    let runtime = world.open().await;
    let (count, crash) = (
        "tools counter__count {}",
        "tools counter__noisy {\"bytes\":1,\"panic\":true}",
    );
    let ran = ask_in(
        &runtime,
        "talk",
        &format!("{count}\n{count}\n{crash}\n{count}\n{count}"),
    )
    .await;
    let said: Vec<String> = ran.calls().iter().map(|(_, outcome)| told(outcome)).collect();
    assert!(said[2].starts_with("plugin-trapped: "), "{said:?}");
    assert_eq!([&said[0], &said[1], &said[3], &said[4]], ["1", "2", "1", "2"]);
}

/// Warm instances give up their places to whoever needs one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_sessions_share_four_places() {
    let world = World::new()
        .own_workspaces()
        .guest("echo")
        .manifest("echo", "lifetime = \"session\"")
        .tools(&["echo"]);
    let calls = [("echo__slow", r#"{"ms":5}"#), ("echo__count", ""), ("echo__count", "")];
    let world = world.limits("max_instances = 4").script(asks(&calls) + &says("done"));
    let runtime = world.open().await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(runtime.run(RunRequest::new("go")).await.unwrap());
    }
    for ran in futures::future::join_all(streams.into_iter().map(Ran::collect)).await {
        assert_eq!(
            finished(&ran.result),
            "finished (done) \"done\" steps 4 tools 3 models 2"
        );
        assert!(
            ran.said("echo__count").parse::<u32>().is_ok(),
            "{}",
            ran.said("echo__count")
        );
    }
}

/// A plugin that sleeps in many sessions has three of four places, and the fourth serves everybody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_plugin_does_not_get_all_places() {
    let world = probed(&["echo", "sleep_forever"])
        .own_workspaces()
        .guest("echo")
        .guest("sleep_forever")
        .limits("max_instances = 4\ncpu_ms = 60000\nwall_ms = 600000");
    let runtime = world.open().await;
    let mut sleepers = Vec::new();
    for _ in 0..12 {
        let mut stream = runtime
            .run(RunRequest::new("tools sleep_forever__sleep {}"))
            .await
            .unwrap();
        while let Some(item) = stream.next().await {
            if matches!(item.unwrap(), StreamItem::Event(event) if event.body.name() == "tool.started") {
                break;
            }
        }
        sleepers.push(stream);
    }
    // One that got by before the sleepers had their places would prove nothing.
    for _ in 0..20 {
        let ran = ask(&runtime, "tools echo__echo {\"text\":\"alive\"}").await;
        assert_eq!(ran.said("echo__echo"), "alive");
    }
    // All that sleep still do; those that wait for a place go when they are told to, like those that have one.
    for stream in sleepers {
        stream.cancel();
        let ran = Ran::collect(stream).await;
        assert_eq!(ran.said("sleep_forever__sleep"), "cancelled: the run was cancelled");
    }
    let ran = ask(&runtime, "tools echo__echo {\"text\":\"alive\"}").await;
    assert_eq!(ran.said("echo__echo"), "alive");
}

/// The only place goes round, also between a pattern that keeps its instance for its run and a tool that keeps its own for the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_sessions_share_one_place() {
    let world = probed(&["echo"])
        .own_workspaces()
        .guest("echo")
        .manifest("echo", "lifetime = \"session\"")
        .limits("max_instances = 1\ncpu_ms = 60000\nwall_ms = 60000");
    let runtime = world.open().await;
    let asked = (0..8).map(|_| ask(&runtime, "tools echo__slow {\"ms\":2}\ntools echo__count {}"));
    for ran in futures::future::join_all(asked).await {
        assert!(ran.said("echo__count").parse::<u32>().is_ok(), "{:#?}", ran.lines());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_told_its_configuration_and_who_calls() {
    let world = probed(&["echo"]).guest("echo");
    check(&world, "tools echo__config {}", "echo__config", "{}").await;
    let granted = "[grants.echo]\nconfig = { colour = \"red\", deep = { list = [1, 2.5, true] } }";
    let world = probed(&["echo"]).guest("echo").with(granted);
    check(
        &world,
        "tools echo__config {}",
        "echo__config",
        r#"{"colour":"red","deep":{"list":[1,2.5,true]}}"#,
    )
    .await;
    let ran = world.ask("tools echo__context {}").await;
    let run = &ran.events().next().unwrap().run;
    assert_eq!(ran.said("echo__context"), format!("{} {run} own-1-1", ran.session));
}

/// Every field of a tool's answer has its place in the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_more_than_a_text() {
    let world = World::new()
        .guest("echo")
        .tools(&["echo"])
        .script(asks_once("echo__rich", r#"{"text":"ü"}"#));
    let ran = world.ask("go").await;
    let calls = ran.calls();
    let value = serde_json::to_value(calls[0].1).unwrap();
    let expected = serde_json::json!({ "output": {
        "text": "ü",
        "structured": { "text": "ü" },
        "user_text": "for people: ü",
        "artifacts": [{ "name": "report.md", "media_type": "text/markdown", "content": { "text": "ü" } }],
    } });
    assert_eq!(value, expected);
}

/// A tool's clock and random numbers are the machine's: only a pattern's are derived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_has_a_clock_and_random_numbers() {
    let world = probed(&["echo"]).guest("echo");
    let runtime = world.open().await;
    let ran = ask(&runtime, "tools echo__clock {}\ntools echo__clock {}").await;
    let said: Vec<String> = ran.calls().iter().map(|(_, outcome)| told(outcome)).collect();
    let (clock, random): (Vec<u64>, Vec<&str>) = said
        .iter()
        .map(|text| text.split_once(' ').unwrap())
        .map(|(ms, random)| (ms.parse::<u64>().unwrap(), random))
        .unzip();
    assert!(clock[0] > 1_700_000_000_000 && clock[0] <= clock[1], "{said:?}");
    assert_ne!(random[0], random[1]);
}

/// One plugin of an agent that is broken leaves the others as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_plugin_is_left_out() {
    let script = "[[reply]]\nexpect = { tools = [\"echo__echo\"] }\ntext = \"fine\"\n";
    let world = World::new()
        .guest("echo")
        .plugin("torn", b"\0asm")
        .tools(&["torn", "echo"])
        .script(script);
    assert_eq!(world.ask("go").await.result.text, "fine");
}

/// A pattern that is broken is a reason not to start, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_pattern_is_told_before_the_run() {
    let world = World::new().plugin("torn", b"\0asm").pattern("torn");
    let runtime = world.open().await;
    let error = runtime.run(RunRequest::new("go")).await.unwrap_err();
    assert!(
        error.message.starts_with("the plugin `torn` can't be used: "),
        "{error}"
    );
    assert!(error.hint.is_some(), "{error:?}");
    assert!(
        runtime.store().sessions(10, None).unwrap().is_empty(),
        "nothing was begun"
    );
}
