//! Every attack of the table ends as the table says, and the next call and other sessions notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use sandbar::Runtime;
use sandbar::plugins::Status;
use sandbar::protocol::{Error, EventBody, RunRequest, ToolOutcome, ToolSpec};
use sandbar_torture::attacks::{Attack, Ends, Given, Way, all};

use crate::support::ran::{Ran, told};
use crate::support::world::{World, ask_in, request_in};

/// What an attack came to: the code and the text of an error, or an answer.
#[derive(Debug)]
enum Outcome {
    Error(String, String),
    Answer(String),
}

/// A world with these attackers, an honest tool, and a secret beside the workspace.
fn world<'a>(attacks: impl IntoIterator<Item = &'a Attack>) -> World {
    let mut world = World::new()
        .guest("pattern_probe")
        .guest("echo")
        .pattern("pattern_probe")
        .file("secret.txt", "secret")
        .file("work/a.txt", "inside")
        .file("work/docs/b.txt", "deep")
        .with("[grants.echo]\nfiles = \"none\"");
    let (mut plugins, mut patterns) = (vec!["echo"], Vec::new());
    for attack in attacks {
        let name = attack.component();
        if patterns.contains(&name) {
            continue;
        }
        world = world.guest(name);
        match attack.way {
            Way::Loaded => {}
            Way::Called { given, .. } => {
                plugins.push(name);
                world = match given {
                    Given::Nothing => world,
                    Given::Files => world.with(&format!("[grants.{name}]\nfiles = \"read-write\"")),
                    Given::Instance => world.manifest(name, "lifetime = \"session\""),
                };
            }
            Way::Stepped => patterns.push(name),
        }
    }
    let agents = patterns
        .iter()
        .map(|name| format!("[agents.{name}]\nmodel = \"script\"\npattern = \"{name}\"\n"));
    world.tools(&plugins).agents(&agents.collect::<String>())
}

/// Begins an attack in a session, and says what came of it.
async fn outcome(runtime: &Runtime, attack: &Attack, session: &str) -> Outcome {
    let name = attack.component();
    match attack.way {
        Way::Loaded => {
            let plugin = runtime.plugins().get(name).unwrap();
            match &plugin.status {
                Status::Broken(error) => failed(error),
                Status::Ready(_) => Outcome::Answer("can be used".to_owned()),
            }
        }
        Way::Called { tool, input, .. } => {
            let ran = ask_in(runtime, session, &format!("tools {name}__{tool} {input}\nfinish")).await;
            let ended = ran.events().find_map(|event| match &event.body {
                EventBody::ToolFinished { outcome, .. } => Some(outcome.clone()),
                _ => None,
            });
            match (ended, &ran.result.error) {
                (Some(ToolOutcome::Error(error)), _) => failed(&error),
                // Where many want the machine, the pattern of this session may wait for it too long.
                (None, Some(error)) => failed(error),
                (Some(ended), _) => Outcome::Answer(told(&ended)),
                (None, None) => panic!("{}: {:#?}", attack.name, ran.lines()),
            }
        }
        Way::Stepped => {
            let request = RunRequest {
                agent: Some(name.to_owned()),
                ..request_in(session, attack.message())
            };
            let result = Ran::collect(runtime.run(request).await.unwrap()).await.result;
            match result.error {
                Some(error) => failed(&error),
                None => Outcome::Error(
                    serde_json::to_value(result.stop_reason)
                        .unwrap()
                        .as_str()
                        .unwrap()
                        .to_owned(),
                    result.text,
                ),
            }
        }
    }
}

fn failed(error: &Error) -> Outcome {
    Outcome::Error(error.code.clone(), error.text())
}

/// What is wrong with an outcome; none if it is as in the table.
fn complaint(attack: &Attack, outcome: &Outcome) -> Option<String> {
    let well = match (outcome, attack.ends) {
        // What is kept of an error must be short, whatever the guest wrote.
        (Outcome::Error(code, text), Ends::Error(codes)) => codes.contains(&code.as_str()) && text.len() < 10_000,
        (Outcome::Answer(text), Ends::Answer(wanted)) => text == wanted,
        _ => false,
    };
    (!well).then(|| format!("{}: {outcome:?}, wanted {:?}", attack.name, attack.ends))
}

async fn assert_alive(runtime: &Runtime, session: &str) {
    let ran = ask_in(runtime, session, "tools echo__echo {\"text\":\"alive\"}\nfinish").await;
    assert_eq!(ran.said("echo__echo"), "alive", "in the session `{session}`");
}

/// Those that a compiler works on for long are left to the harness.
fn attacks() -> impl Iterator<Item = &'static Attack> {
    all().filter(|attack| !attack.is_compiled_for_long())
}

#[test]
fn there_are_sixty_and_each_has_one_row() {
    let mut names: Vec<&str> = all().map(|attack| attack.name).collect();
    let rows = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows, "a name is in two rows");
    assert!(rows >= 60, "{rows}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alone_ends_as_the_table_says() {
    let world = world(attacks()).limits("put_aside = false\nmemory_mib = 32\ncpu_ms = 100\nwall_ms = 400");
    let runtime = world.open().await;
    let mut wrong = Vec::new();
    for attack in attacks() {
        // Twice, for what is remembered of the first time.
        for session in ["first", "second"] {
            let outcome = outcome(&runtime, attack, session).await;
            wrong.extend(complaint(attack, &outcome));
            assert_alive(&runtime, session).await;
        }
        assert_alive(&runtime, "bystander").await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What the readers tried to change, and what all of them tried to reach.
    assert_eq!(
        (world.read("work/a.txt").as_str(), world.read("secret.txt").as_str()),
        ("inside", "secret")
    );
    let mut beside: Vec<_> = std::fs::read_dir(world.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    beside.sort();
    assert_eq!(
        beside,
        ["data", "plugins", "replies.toml", "secret.txt", "work"],
        "a file was made outside"
    );
}

/// The tools of a plugin that can be used.
fn described<'a>(runtime: &'a Runtime, name: &str) -> &'a [ToolSpec] {
    match &runtime.plugins().get(name).unwrap().status {
        Status::Ready(ready) => &ready.tools,
        Status::Broken(error) => panic!("`{name}`: {error:?}"),
    }
}

/// A component can't tell one thing to who approves it and another to who uses it, and nothing that only a model sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_once_is_what_counts() {
    let world = World::new().guest("changing_describe").guest("unseen_description");
    let first = world.open().await;
    let second = world.open().await;
    let tools = described(&first, "changing_describe");
    assert_eq!(tools.len(), 2);
    assert_eq!(tools, described(&second, "changing_describe"));
    assert_eq!(
        described(&first, "unseen_description")[0].description,
        "Adds[8m numbers."
    );
}

/// Code that lies in a directory of plugins is nobody's, whatever made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiled_code_is_no_plugin() {
    let world = World::new().guest("echo");
    drop(world.open().await);
    let cached = std::fs::read_dir(world.path("data/cache/components")).unwrap();
    let code = cached
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "code"));
    let code = std::fs::read(code.unwrap()).unwrap();
    let world = world.file("plugins/made.cwasm", &code).plugin("made", &code);
    let runtime = world.open().await;
    let found: Vec<_> = runtime
        .plugins()
        .list()
        .filter(|plugin| &*plugin.name == "made")
        .collect();
    let [plugin] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(
        matches!(&plugin.status, Status::Broken(error) if error.code == "not-wasm"),
        "{:?}",
        plugin.status
    );
}

/// What is left to do when two hundred do it at once, on one of each kind of limit.
const AT_ONCE: [&str; 10] = [
    "loop",
    "memory_bomb",
    "memory_churn",
    "log_flood",
    "sleep_longest",
    "pollable_leak",
    "deep_recursion",
    "file_leak",
    "million_annotations",
    "pattern_loop",
];

const COUNT: usize = 200;

const SHARED: [&str; 3] = ["cpu-limit", "wall-limit", "guest-memory-exhausted"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_end_and_an_honest_session_goes_on() {
    let chosen: Vec<&Attack> = all().filter(|attack| AT_ONCE.contains(&attack.name)).collect();
    assert_eq!(chosen.len(), AT_ONCE.len());
    let world = world(chosen.iter().copied())
        .own_workspaces()
        .limits("put_aside = false\nmemory_mib = 32\nguest_memory_mib = 2048\ncpu_ms = 20\nwall_ms = 10000");
    let runtime = Arc::new(world.open().await);
    for attack in chosen {
        let over = AtomicBool::new(false);
        let attackers = async {
            let sessions: Vec<String> = (0..COUNT).map(|index| format!("{}-{index}", attack.name)).collect();
            let ended = join_all(sessions.iter().map(|session| outcome(&runtime, attack, session))).await;
            over.store(true, Ordering::Relaxed);
            ended
        };
        let honest = async {
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) {
                assert_alive(&runtime, "honest").await;
                answers += 1;
            }
            answers
        };
        let (ended, answers) = futures::join!(attackers, honest);
        // Where so many want the machine, its time or memory may be used up before anything else is.
        let is_in_time =
            |outcome: &&Outcome| !matches!(outcome, Outcome::Error(code, _) if SHARED.contains(&code.as_str()));
        let wrong: Vec<String> = ended
            .iter()
            .filter(is_in_time)
            .filter_map(|outcome| complaint(attack, outcome))
            .collect();
        assert!(wrong.is_empty(), "{} of {COUNT}: {}", wrong.len(), wrong[0]);
        assert!(answers > 0, "{}: the honest session got no answer", attack.name);
        println!("{}: {answers} answers beside it", attack.name);
    }
}
