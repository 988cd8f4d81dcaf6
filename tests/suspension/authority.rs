//! What was allowed holds for the powers that the person was told of, and for less: an operator who grants more has them asked anew.

use sandbar::protocol::{StopReason, SuspensionId};
use sandbar::{Attended, Config, Runtime};
use serde_json::json;

use super::{open_question, read_in};
use crate::support::person::{go_on, said};
use crate::support::program::run;
use crate::support::ran::Ran;
use crate::support::script::asks_once;
use crate::support::world::World;

const WRITE: &str = r#"{"path":"b.md","content":"b"}"#;
const DOCS: &str = r#"{ name = "docs", path = "docs" }"#;
const LETTERS: &str = r#"{ name = "letters", path = "letters" }"#;

/// An agent that writes a file with each request, for which a person is asked.
fn writing() -> World {
    World::new()
        .tools(&["files"])
        .file("docs/x.md", "x")
        .file("letters/y.md", "y")
        .script((0..8).map(|_| asks_once("files__write", WRITE)).collect::<String>())
        .with("[consent]\ntools = { files__write = \"ask\" }\n[grants.files]\nfiles = \"read-write\"")
}

/// With some mounts in the grant.
async fn open(world: &World, mounts: &[&str]) -> Runtime {
    open_granting(world, &format!("mounts = [{}]", mounts.join(", "))).await
}

/// With further lines for the grant, which is the last table of the configuration.
async fn open_granting(world: &World, lines: &str) -> Runtime {
    let text = format!("{}\n{lines}\n", world.config_text());
    let config = Config::from_toml(&text, &world.path("")).unwrap();
    Runtime::open_with(config, world.options()).await.unwrap()
}

/// Whether a request in a session of its own needs somebody's word.
async fn is_asked(world: &World, session: &str, mounts: &[&str]) -> Option<SuspensionId> {
    let runtime = open(world, mounts).await;
    let ran = read_in(&runtime, session, Attended::Nobody).await;
    let waits = ran.result.stop_reason == StopReason::Suspended;
    let asked = waits.then(|| open_question(&runtime).suspension.id);
    runtime.close().await;
    asked
}

async fn say(world: &World, mounts: &[&str], id: &SuspensionId, decision: &str) -> Ran {
    let runtime = open(world, mounts).await;
    let ran = go_on(&runtime, id, &json!({ "decision": decision })).await;
    runtime.close().await;
    ran
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn always_ends_where_a_plugin_is_granted_more() {
    let world = writing();
    let asked = is_asked(&world, "first", &[DOCS])
        .await
        .expect("nobody has said anything");
    assert_eq!(say(&world, &[DOCS], &asked, "always").await.result.text, "done");
    assert_eq!(is_asked(&world, "second", &[DOCS]).await, None);
    assert_eq!(is_asked(&world, "third", &[]).await, None, "less needs no word");
    let asked = is_asked(&world, "fourth", &[DOCS, LETTERS]).await;
    let asked = asked.expect("another directory is more than was agreed to");

    let listed = run(world.write_config(), &["grants", "list", "--json"]).expect(0).out;
    let path = |name: &str| world.path(name).canonicalize().unwrap().display().to_string();
    let told = |listed: &str| (listed.contains(&path("docs")), listed.contains(&path("letters")));
    assert_eq!(told(&listed), (true, false), "{listed}");

    assert_eq!(
        say(&world, &[DOCS, LETTERS], &asked, "always").await.result.text,
        "done"
    );
    assert_eq!(is_asked(&world, "fifth", &[LETTERS, DOCS]).await, None);
    let listed = run(world.write_config(), &["grants", "list", "--json"]).expect(0).out;
    assert_eq!((listed.lines().count(), told(&listed)), (1, (true, true)), "{listed}");
}

/// What a person says to a question is about what the question told them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_put_anew_where_more_was_granted_while_it_waited() {
    for (decision, before) in [("once", None), ("always", None), ("always", Some("always"))] {
        let world = writing();
        let asked = is_asked(&world, "talk", &[]).await.expect("it is asked");
        if let Some(before) = before {
            // An answer that is there already, given while nobody had the run.
            let runtime = open(&world, &[]).await;
            let answer = said(&json!({ "decision": before }));
            runtime.store().answer(&asked, answer).await.unwrap();
            runtime.close().await;
        }
        let runtime = open(&world, &[DOCS]).await;
        let waits = match before {
            None => go_on(&runtime, &asked, &json!({ "decision": decision })).await,
            Some(_) => {
                let run = runtime.store().suspension(&asked).unwrap().unwrap().run;
                Ran::read(runtime.resume(&run, Attended::Nobody).await.unwrap()).await
            }
        };
        assert_eq!(waits.result.stop_reason, StopReason::Suspended, "{:#?}", waits.lines());
        assert!(
            !world.path("work/b.md").exists(),
            "what nobody has agreed to isn't done"
        );
        assert_eq!(runtime.store().approvals().unwrap(), []);
        let again = open_question(&runtime).suspension;
        assert_ne!(again.id, asked);
        assert_eq!(again.call.unwrap().powers.len(), 2);
        let ran = go_on(&runtime, &again.id, &json!({ "decision": decision })).await;
        assert_eq!(ran.result.text, "done", "{:#?}", ran.lines());
        assert!(world.path("work/b.md").exists());
        runtime.close().await;
    }
}

/// A no is one to more as well, and with less there is nothing new to ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_holds_where_nothing_was_added() {
    for (decision, then, now, written) in [
        ("deny", &[][..], &[DOCS][..], false),
        ("once", &[DOCS][..], &[][..], true),
    ] {
        let world = writing();
        let asked = is_asked(&world, "talk", then).await.expect("it is asked");
        let ran = say(&world, now, &asked, decision).await;
        assert_eq!(ran.result.stop_reason, StopReason::Finished, "{:#?}", ran.lines());
        assert_eq!(world.path("work/b.md").exists(), written, "{decision}");
    }
}

/// What counts is what the call could do, not how that reads; also where a protected value is in it, which no journal has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_more_is_asked_anew() {
    let mount = |path: &str, access: &str| {
        format!("files = \"read-write\"\nmounts = [{{ name = \"m\", path = \"{path}\", access = \"{access}\" }}]")
    };
    let http = |url: &str, methods: &str| format!("http = [{{ url = \"{url}\", methods = [{methods}] }}]");
    let (a, b, hidden) = (
        "https://a.example/",
        "https://b.example/",
        "https://a.example/s3cr3t-value/",
    );
    for (told, now, anew) in [
        (mount("docs", "read-write"), mount("docs", "read-only"), false),
        (mount("docs", "read-only"), mount("docs", "read-write"), true),
        (http(a, r#""GET", "HEAD", "POST""#), http(a, r#""GET""#), false),
        (http(a, r#""GET""#), http(a, r#""GET", "POST""#), true),
        (http(a, r#""GET""#), http(b, r#""GET""#), true),
        ("kv = \"shared\"".to_owned(), "kv = \"session\"".to_owned(), false),
        (
            format!("kv = \"shared\"\n{}", http(a, r#""GET""#)),
            String::new(),
            false,
        ),
        (
            mount("s3cr3t-value", "read-write"),
            mount("s3cr3t-value", "read-only"),
            false,
        ),
        (http(hidden, r#""GET""#), http(hidden, r#""GET""#), false),
        (http(hidden, r#""GET""#), http(a, r#""GET""#), true),
    ] {
        let secret = "[secrets.key]\nvalue = \"file:key.txt\"\nhosts = [\"https://c.example\"]\nheader = \"x-key\"";
        let world = World::new()
            .guest("echo")
            .tools(&["echo"])
            .file("docs/x.md", "x")
            .file("s3cr3t-value/y.md", "y")
            .file("key.txt", "s3cr3t-value")
            .script(asks_once("echo__count", "{}"))
            .with(&format!(
                "{secret}\n[consent]\ntools = {{ echo__count = \"ask\" }}\n[grants.echo]"
            ));
        let runtime = open_granting(&world, &told).await;
        read_in(&runtime, "talk", Attended::Nobody).await;
        let asked = open_question(&runtime).suspension;
        runtime.close().await;
        let written = serde_json::to_string(&asked).unwrap();
        assert!(!written.contains("s3cr3t-value"), "{written}");

        let runtime = open_granting(&world, &now).await;
        let ran = go_on(&runtime, &asked.id, &json!({ "decision": "once" })).await;
        let waits = ran.result.stop_reason == StopReason::Suspended;
        assert_eq!(waits, anew, "`{told}`, then `{now}`: {:#?}", ran.lines());
        if anew {
            let again = open_question(&runtime).suspension;
            assert_ne!(again.id, asked.id);
            let ran = go_on(&runtime, &again.id, &json!({ "decision": "once" })).await;
            assert_eq!(ran.result.text, "done", "`{told}`, then `{now}`: {:#?}", ran.lines());
        }
        runtime.close().await;
    }
}
