//! Every attack of the table ends as the table says, and the next call and other sessions notice nothing.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use sandbar::Runtime;
use sandbar::plugins::Status;
use sandbar::protocol::{Error, EventBody, RunRequest, ToolOutcome, ToolSpec};
use sandbar_torture::attacks::{Attack, Ends, Given, Way, all};
use sandbar_torture::ground::{Ground, SECRET, TOKEN};
use tokio::sync::watch;

use crate::support::holding;
use crate::support::ran::{Ran, told};
use crate::support::world::{World, ask_in, request_in};

/// What an attack came to: the code and the text of an error, or an answer.
#[derive(Debug)]
enum Outcome {
    Error(String, String),
    Answer(String),
}

/// A runtime that has a configuration in files, as the program has it.
async fn open(world: &World) -> Runtime {
    let mut config = world.config().unwrap();
    config.lock_file = Some(world.path("sandbar.lock"));
    config.files = vec![world.path("sandbar.toml")];
    Runtime::open_with(config, world.options()).await.unwrap()
}

/// Time on the clock for those whose attack it ends. For all others it is far, since another program may have the machine; processor time is
/// short for those that use it up.
const WALL_MS: u64 = 400;

/// A world with these attackers, an honest tool, and a secret beside the workspace.
fn world<'a>(ground: &Ground, cpu_ms: u64, attacks: impl IntoIterator<Item = &'a Attack>) -> World {
    let mut world = World::new()
        .guest("pattern_probe")
        .guest("echo")
        .pattern("pattern_probe")
        .file("secret.txt", "secret")
        .file("work/a.txt", "inside")
        .file("work/docs/b.txt", "deep")
        .guest("keeper")
        .with("[grants.echo]\nfiles = \"none\"")
        .with(&ground.grant("keeper", Given::Kv))
        .with(&ground.secrets());
    for (name, content) in Ground::FILES {
        world = world.file(name, content);
    }
    let (mut plugins, mut patterns) = (vec!["echo", "keeper"], Vec::new());
    for attack in attacks {
        let name = attack.component();
        if patterns.contains(&name) {
            continue;
        }
        world = world.guest(name);
        if let Some(manifest) = attack.manifest(&ground.powers(attack.given()), cpu_ms, WALL_MS) {
            world = world.manifest(name, &manifest);
        }
        match attack.way {
            Way::Loaded => {}
            Way::Called { given, .. } => {
                plugins.push(name);
                world = world.with(&ground.grant(name, given));
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
                // The tool was never called: a complaint, which says why.
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

/// What is wrong with an outcome; none if it is as in the table, or an error with one of these codes besides.
fn complaint(attack: &Attack, outcome: &Outcome, besides: &[&str]) -> Option<String> {
    let codes = attack.codes();
    let well = match (outcome, attack.ends) {
        // What is kept of an error must be short, whatever the guest wrote.
        (Outcome::Error(code, text), _) => {
            (codes.contains(&code.as_str()) || besides.contains(&code.as_str())) && text.len() < 10_000
        }
        (Outcome::Answer(text), Ends::Answer(wanted)) => text == wanted,
        (Outcome::Answer(_), Ends::Error(_)) => false,
    };
    (!well).then(|| format!("{}: {outcome:?}, wanted {:?} {besides:?}", attack.name, attack.ends))
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

/// What another plugin keeps, so that there is something to look for.
async fn keep_note(runtime: &Runtime, session: &str) {
    let kept = ask_in(runtime, session, r#"tools keeper__set {"key":"note","value":"mine"}"#).await;
    assert_eq!(kept.said("keeper__set"), "kept");
}

/// That the attacks on the network had one, and got nothing by it.
fn assert_nothing_leaked(world: &World, ground: &Ground) {
    assert!(ground.home.found() > 0, "the secret was never sent where it belongs");
    assert!(ground.other.asked() > 0, "the other server was never asked");
    assert_eq!((ground.other.found(), ground.shut.asked()), (0, 0));
    // What the guest wrote is there; the value is in none of the forms in which it wrote it.
    assert_eq!(world.read("work/plain.txt"), "[redacted]");
    let spelled: String = SECRET.chars().flat_map(|c| [c, '.']).collect();
    for form in [SECRET, &spelled] {
        for place in ["data", "work"] {
            assert_eq!(holding(&world.path(place), form), Vec::<PathBuf>::new());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alone_ends_as_the_table_says() {
    let ground = Ground::start().unwrap();
    let world =
        world(&ground, 50, attacks()).limits("put_aside = false\nmemory_mib = 32\ncpu_ms = 60000\nwall_ms = 250000");
    let runtime = open(&world).await;
    let lock = world.read("sandbar.lock");
    let mut wrong = Vec::new();
    for session in ["first", "second"] {
        keep_note(&runtime, session).await;
    }
    for attack in attacks() {
        // Twice, for what is remembered of the first time.
        for session in ["first", "second"] {
            let outcome = outcome(&runtime, attack, session).await;
            wrong.extend(complaint(attack, &outcome, &[]));
            assert_alive(&runtime, session).await;
        }
        assert_alive(&runtime, "bystander").await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    runtime.close().await;
    assert_nothing_leaked(&world, &ground);
    // What the readers tried to change, and what all of them tried to reach.
    assert_eq!(
        (
            world.read("work/a.txt").as_str(),
            world.read("secret.txt").as_str(),
            world.read("token.txt").as_str(),
            world.read("sandbar.lock")
        ),
        ("inside", "secret", TOKEN, lock)
    );
    let mut beside: Vec<_> = std::fs::read_dir(world.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    beside.sort();
    assert_eq!(
        beside,
        [
            "canary.txt",
            "data",
            "mine",
            "plugins",
            "replies.toml",
            "sandbar.lock",
            "secret.txt",
            "token.txt",
            "work"
        ],
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

/// One of each kind of limit, and what else may end it when two hundred do it at once: memory and places for requests are everybody's.
/// Time is not: the processor time of each is its own, and the clock is far.
const AT_ONCE: [(&str, &[&str]); 15] = [
    ("loop", &[]),
    // To touch so much memory takes as long as it takes.
    ("memory_bomb", &["cpu-limit"]),
    ("memories_that_grow", &[]),
    ("memory_churn", &[]),
    ("log_flood", &["guest-memory-exhausted"]),
    ("sleep_longest", &[]),
    ("pollable_leak", &[]),
    ("deep_recursion", &[]),
    // Descriptors are everybody's, too: there may be none left for the file that it writes first.
    ("file_leak", &["could-not-write"]),
    ("million_annotations", &["guest-memory-exhausted"]),
    ("pattern_loop", &[]),
    ("http_flood", &[]),
    ("http_to_private", &[]),
    ("http_slow_server", &[]),
    ("secret_echo", &["too-many-requests"]),
];

const COUNT: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_end_and_an_honest_session_goes_on() {
    let chosen = AT_ONCE.map(|(name, besides)| (all().find(|attack| attack.name == name).unwrap(), besides));
    let ground = Ground::start().unwrap();
    let world = world(&ground, 5, chosen.iter().map(|(attack, _)| *attack))
        .own_workspaces()
        .limits("put_aside = false\nmemory_mib = 32\nguest_memory_mib = 2048\ncpu_ms = 10000\nwall_ms = 250000");
    let runtime = Arc::new(world.open().await);
    let mut wrong = Vec::new();
    for (attack, besides) in chosen {
        let left = watch::Sender::new(COUNT);
        let attackers = (0..COUNT).map(async |index| {
            let ended = outcome(&runtime, attack, &format!("{}-{index}", attack.name)).await;
            left.send_modify(|left| *left -= 1);
            ended
        });
        let honest = async {
            let (mut seen, mut answers) = (left.subscribe(), 0);
            while *seen.borrow_and_update() > 0 {
                assert_alive(&runtime, "honest").await;
                answers += 1;
                // Again when another attack is over: it is to get its answers, not half of the machine.
                seen.changed().await.unwrap();
            }
            answers
        };
        let (ended, answers) = futures::join!(join_all(attackers), honest);
        let complaints: Vec<String> = ended
            .iter()
            .filter_map(|outcome| complaint(attack, outcome, besides))
            .collect();
        wrong.extend(
            complaints
                .first()
                .map(|first| format!("{} of {COUNT}: {first}", complaints.len())),
        );
        assert!(answers > 0, "{}: the honest session got no answer", attack.name);
        println!("{}: {answers} answers beside it", attack.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((ground.other.found(), ground.shut.asked()), (0, 0));
}
