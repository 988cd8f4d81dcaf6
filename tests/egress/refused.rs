//! Files, keys and values, and secrets that a plugin may not use: it hears no more than that, and whoever runs it hears what would change it.

use sandbar::protocol::Denial;

use super::{audited, denials};
use crate::support::program::run;
use crate::support::script::{asks, says};
use crate::support::world::{World, ask};

fn world() -> World {
    World::new()
        .guest("pattern_probe")
        .pattern("pattern_probe")
        .guest("keeper")
        .guest("fetcher")
        .tools(&["files", "keeper", "fetcher"])
        .file("work/notes.md", "hello")
}

fn denial(plugin: &str, what: &str, line: &str) -> Denial {
    Denial {
        reason: format!("the plugin `{plugin}` may not {what}: nothing grants it"),
        mend: Some(format!("# in sandbar.toml\n[grants.{plugin}]\n{line}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_power_that_is_not_granted_is_told_with_its_line() {
    let world = world();
    let runtime = world.open().await;
    for (tool, input, said, (action, target), expected) in [
        (
            "files__read",
            r#"{"path":"notes.md"}"#,
            "no-workspace: this plugin was granted no files (the plugin was refused access to files)",
            ("files.use", "read files"),
            denial("files", "read files", "files = \"read-only\""),
        ),
        (
            "keeper__set",
            r#"{"key":"a","value":"b"}"#,
            "denied",
            ("kv.use", "use key-value pairs"),
            denial("keeper", "use key-value pairs", "kv = \"session\""),
        ),
        (
            "keeper__get",
            r#"{"key":"a"}"#,
            "denied",
            ("kv.use", "use key-value pairs"),
            denial("keeper", "use key-value pairs", "kv = \"session\""),
        ),
        (
            "fetcher__exists",
            r#"{"name":"weather-key"}"#,
            "false",
            ("secret.use", "weather-key"),
            denial("fetcher", "use the secret `weather-key`", "secrets = [\"weather-key\"]"),
        ),
    ] {
        let before = audited(&runtime, action).len();
        let ran = ask(&runtime, &format!("tools {tool} {input}")).await;
        assert_eq!(ran.said(tool), said, "{tool}");
        assert_eq!(denials(&ran), [expected], "{tool}");
        assert_eq!(
            audited(&runtime, action)[before..],
            [format!("{target} Denied")],
            "{tool}"
        );
    }
}

/// The lines that it gives do allow it; a further power has a line of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_do_allow_it() {
    let world = world().with("[grants.files]\nfiles = \"read-only\"\n[grants.keeper]\nkv = \"session\"");
    let runtime = world.open().await;
    let ran = ask(&runtime, r#"tools files__read {"path":"notes.md"}"#).await;
    assert!(
        ran.said("files__read").contains("hello") && denials(&ran).is_empty(),
        "{:#?}",
        ran.lines()
    );
    let ran = ask(&runtime, r#"tools keeper__set {"key":"a","value":"b"}"#).await;
    assert!(
        ran.said("keeper__set") == "kept" && denials(&ran).is_empty(),
        "{:#?}",
        ran.lines()
    );
    let ran = ask(&runtime, r#"tools files__write {"path":"new.md","content":"x"}"#).await;
    let expected = denial("files", "write files", "files = \"read-write\"");
    assert_eq!(denials(&ran), [expected], "{:#?}", ran.lines());
    assert_eq!(audited(&runtime, "files.use"), ["write files Denied"]);
    assert!(!world.path("work/new.md").exists());
}

/// A plugin that asks again and again is told of, and audited, once in a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_without_end_is_told_once() {
    let world = world();
    let runtime = world.open().await;
    let ran = ask(&runtime, r#"tools keeper__hammer {}"#).await;
    assert_eq!(ran.said("keeper__hammer"), "0 then denied");
    let ran = ask(&runtime, r#"tools keeper__fill {"n":1}"#).await;
    assert_eq!(
        (ran.said("keeper__fill"), denials(&ran).len()),
        ("0 then denied".to_owned(), 1)
    );
    assert_eq!(audited(&runtime, "kv.use").len(), 2);
}

#[test]
fn the_terminal_shows_it() {
    let world = World::new()
        .guest("keeper")
        .guest("fetcher")
        .tools(&["files", "keeper", "fetcher"])
        .script(
            asks(&[
                ("files__read", r#"{"path":"notes.md"}"#),
                ("keeper__set", r#"{"key":"a","value":"b"}"#),
                ("fetcher__exists", r#"{"name":"weather-key"}"#),
            ]) + &says("done"),
        );
    let shown = run(world.write_config(), &["run", "go"]).expect(0).err;
    for lines in [
        "    refused: the plugin `files` may not read files: nothing grants it\n      # in sandbar.toml\n      [grants.files]\n      files = \"read-only\"\n",
        "    refused: the plugin `keeper` may not use key-value pairs: nothing grants it\n      # in sandbar.toml\n      [grants.keeper]\n      kv = \"session\"\n",
        "    refused: the plugin `fetcher` may not use the secret `weather-key`: nothing grants it\n      # in sandbar.toml\n      [grants.fetcher]\n      secrets = [\"weather-key\"]\n",
    ] {
        assert!(shown.contains(lines), "{lines}\nis not in:\n{shown}");
    }
}
