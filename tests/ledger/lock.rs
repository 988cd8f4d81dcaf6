//! `sandbar.lock`: a plugin is recorded when it is first seen, and waits for a person when it is not what it was.

use super::{lines, run_in, told, written};
use crate::support::built;
use crate::support::script::{asks_once, says};
use crate::support::terminal::{AtTerminal, CTRL_D};
use crate::support::world::World;

/// The same component with one text of its tools changed, or with nothing but its digest changed.
fn echo_with(text: Option<(&str, &str)>) -> Vec<u8> {
    let mut bytes = built::guest("echo");
    match text {
        Some((before, after)) => {
            assert_eq!(before.len(), after.len());
            let found = bytes.windows(before.len()).position(|part| part == before.as_bytes());
            let at = found.expect("the text is in the component");
            bytes[at..at + before.len()].copy_from_slice(after.as_bytes());
        }
        // A section without meaning, of the name `x`.
        None => bytes.extend([0, 2, 1, b'x']),
    }
    bytes
}

fn world() -> World {
    written(
        World::new()
            .guest("echo")
            .tools(&["echo"])
            .script(asks_once("echo__echo", r#"{"text":"hi"}"#)),
    )
}

/// What the tool answered in a run, or why it could not be called.
fn called(world: &World) -> String {
    let ran = run_in(world, &["run", "--json", "go"]);
    let finished = lines(&ran.out)
        .into_iter()
        .find(|event| event["type"] == "tool.finished")
        .unwrap();
    let said = finished["output"]["text"]
        .as_str()
        .or(finished["error"]["code"].as_str());
    said.unwrap().to_owned()
}

pub(super) fn state(world: &World, name: &str) -> String {
    let listed = run_in(world, &["plugins", "list", "--json"]).expect(0).out;
    let found = lines(&listed)
        .into_iter()
        .find(|plugin| plugin["name"] == name)
        .unwrap();
    found["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_new_plugin_is_recorded_and_a_changed_one_waits() {
    let world = world();
    assert_eq!(called(&world), "hi");
    let lock = world.read("sandbar.lock");
    for part in [
        "[plugins.echo]\n",
        "kind = \"tool\"\n",
        "approved_by = \"first sight\"\n",
        "\"whatever is granted: it has no manifest\"",
        "[plugins.echo.tools]\n",
    ] {
        assert!(lock.contains(part), "`{part}` is not in:\n{lock}");
    }
    assert!(
        !lock.contains("[plugins.files]"),
        "bundled plugins are a part of the program:\n{lock}"
    );
    assert_eq!(called(&world), "hi");
    assert_eq!(world.read("sandbar.lock"), lock, "nothing changed");
    run_in(&world, &["plugins", "verify"]).expect(0);

    let world = world.plugin("echo", &echo_with(None));
    let verified = run_in(&world, &["plugins", "verify", "--json"]).expect(3).out;
    assert_eq!(lines(&verified)[0]["state"], "changed");
    assert_eq!(
        (state(&world, "echo").as_str(), called(&world).as_str()),
        ("changed", "unknown-tool")
    );
    let ran = run_in(&world, &["run", "go"]);
    assert!(
        ran.err.contains("it is not what was approved: it is another component"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("`sandbar plugins approve echo` shows the difference"),
        "{}",
        ran.err
    );
    assert_eq!(world.read("sandbar.lock"), lock, "nobody has approved");

    let unasked = run_in(&world, &["plugins", "approve", "echo"]).expect(3);
    assert!(
        unasked
            .err
            .contains("there is no terminal at which somebody could be asked"),
        "{}",
        unasked.err
    );
    assert_eq!(world.read("sandbar.lock"), lock);
    run_in(&world, &["plugins", "approve", "echo", "--yes"]).expect(0);
    assert_eq!(
        (state(&world, "echo").as_str(), called(&world).as_str()),
        ("ready", "hi")
    );
    assert!(world.read("sandbar.lock").contains("approved_by = \"--yes\""));
    let again = run_in(&world, &["plugins", "approve", "echo"]).expect(0);
    assert!(again.err.contains("there is nothing to accept"), "{}", again.err);
    let audited = run_in(&world, &["audit", "list", "--json", "--action", "plugin"])
        .expect(0)
        .out;
    assert_eq!(
        told(&audited),
        [
            "plugin.record echo allowed default",
            "plugin.approve echo allowed person --yes"
        ]
    );
}

#[test]
fn the_difference_is_what_a_person_decides_on() {
    let world = world();
    run_in(&world, &["plugins", "list"]).expect(0);
    let text = ("Counts the calls of this instance", "COUNTS THE CALLS OF THIS INSTANCE");
    let world = world.plugin("echo", &echo_with(Some(text)));
    let shown = run_in(&world, &["plugins", "approve", "echo"]).expect(3).err;
    for part in [
        "what models read of the tool count has changed:",
        "- Counts the calls of this instance: 1 in a fresh one.",
        "+ COUNTS THE CALLS OF THIS INSTANCE: 1 in a fresh one.",
    ] {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
    // Another component altogether, with a manifest.
    let world = world
        .guest_as("read_outside", "echo")
        .manifest("echo", "[requests]\nfiles = \"read-write\"\n");
    let shown = run_in(&world, &["plugins", "approve", "echo"]).expect(3).err;
    for part in [
        "it asks for more",
        "+ requests files read-write",
        "- requests whatever is granted",
        "- tool count",
    ] {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
    let json = run_in(&world, &["plugins", "list", "--json"]).expect(0).out;
    let found = lines(&json)
        .into_iter()
        .find(|plugin| plugin["name"] == "echo")
        .unwrap();
    assert_eq!(found["difference"]["requests"]["added"][0], "files read-write");
}

/// What a manifest requests is a part of what was approved, also where the component is the same.
#[test]
fn a_manifest_that_asks_for_more_waits() {
    let world = world().manifest("echo", "[requests]\nfiles = \"read-only\"\n");
    assert_eq!(called(&world), "hi");
    let world = world.manifest("echo", "[requests]\nfiles = \"read-write\"\nsecrets = [\"key\"]\n");
    let verified = run_in(&world, &["plugins", "verify"]).expect(3).out;
    assert!(
        verified.contains("changed: its manifest requests something else"),
        "{verified}"
    );
    assert_eq!(called(&world), "unknown-tool");
    let shown = run_in(&world, &["plugins", "approve", "echo"]).expect(3).err;
    for part in [
        "- requests files read-only",
        "+ requests files read-write",
        "+ requests secret key",
    ] {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
}

/// The grants for a bundled plugin were written for that one.
#[test]
fn a_file_with_the_name_of_a_bundled_plugin_waits() {
    let world = written(
        World::new()
            .guest_as("echo", "files")
            .tools(&["files"])
            .script(says("done")),
    );
    assert_eq!(state(&world, "files"), "changed");
    let shown = run_in(&world, &["plugins", "approve", "files"]).expect(3).err;
    assert!(shown.contains("it takes the place of a bundled plugin"), "{shown}");
    run_in(&world, &["plugins", "verify"]).expect(3);
    run_in(&world, &["plugins", "approve", "files", "--yes"]).expect(0);
    assert_eq!(state(&world, "files"), "ready");
    run_in(&world, &["plugins", "verify"]).expect(0);
}

#[test]
fn a_file_that_is_gone_keeps_its_name() {
    let world = world();
    run_in(&world, &["plugins", "list"]).expect(0);
    std::fs::rename(world.path("plugins/echo.wasm"), world.path("echo.wasm")).unwrap();
    let verified = run_in(&world, &["plugins", "verify"]).expect(3).out;
    assert!(verified.contains("in the lock, but there is no file"), "{verified}");
    // What comes later under the name is compared with what was there.
    let world = world.plugin("echo", &echo_with(None));
    assert_eq!(state(&world, "echo"), "changed");
    std::fs::remove_file(world.path("plugins/echo.wasm")).unwrap();
    run_in(&world, &["plugins", "approve", "echo", "--yes"]).expect(0);
    assert!(!world.read("sandbar.lock").contains("[plugins.echo]"));
    let unknown = run_in(&world, &["plugins", "approve", "echo", "--yes"]).expect(2);
    assert!(unknown.err.contains("there is no plugin `echo`"), "{}", unknown.err);
}

#[test]
fn nothing_runs_with_a_lock_that_can_not_be_relied_on() {
    let world = world();
    run_in(&world, &["plugins", "list"]).expect(0);
    let lock = world.read("sandbar.lock");
    for damaged in [
        "nonsense".to_owned(),
        lock.replace("# The end.\n", ""),
        lock.replace("digest = \"", "digest = \"x"),
    ] {
        let world_lock = world.path("sandbar.lock");
        std::fs::write(&world_lock, &damaged).unwrap();
        for command in [
            &["run", "go"][..],
            &["plugins", "list"],
            &["plugins", "verify"],
            &["plugins", "approve", "echo", "--yes"],
        ] {
            let ended = run_in(&world, command).expect(2);
            assert!(
                ended.err.contains("bad-lock") || ended.err.contains("can't be relied on"),
                "{command:?}: {}",
                ended.err
            );
            assert!(
                ended.err.contains("hint: take it back from version control"),
                "{command:?}: {}",
                ended.err
            );
        }
        assert_eq!(std::fs::read_to_string(&world_lock).unwrap(), damaged, "it was changed");
    }
}

/// A digest that somebody has written by hand is compared like any other.
#[test]
fn a_digest_of_another_component_does_not_help() {
    let world = world();
    run_in(&world, &["plugins", "list"]).expect(0);
    let lock = world.read("sandbar.lock");
    let at = lock.find("digest = \"").unwrap() + "digest = \"".len();
    let changed = format!("{}{}{}", &lock[..at], "0".repeat(64), &lock[at + 64..]);
    std::fs::write(world.path("sandbar.lock"), changed).unwrap();
    assert_eq!(state(&world, "echo"), "changed");
}

/// Programs that embed Sandbar say where the file is, or have none; where it can't be written, that is no reason to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_embeds_chooses() {
    let world = World::new().guest("echo").tools(&["echo"]).script(says("done"));
    world.open().await.close().await;
    let made: Vec<_> = std::fs::read_dir(world.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !made.iter().any(|name| name.to_string_lossy().ends_with(".lock")),
        "{made:?}"
    );
    let open = |lock: &str| {
        let mut config = world.config().unwrap();
        config.lock_file = Some(world.path(lock));
        sandbar::Runtime::open_with(config, world.options())
    };
    open("locks.lock").await.unwrap().close().await;
    assert!(world.read("locks.lock").contains("[plugins.echo]"));
    let runtime = open("nowhere/sandbar.lock").await.unwrap();
    runtime.plugins().check("echo", sandbar::plugins::Kind::Tool).unwrap();
    std::fs::write(world.path("plugins/echo.wasm"), echo_with(None)).unwrap();
    let runtime = open("locks.lock").await.unwrap();
    let error = runtime
        .plugins()
        .check("echo", sandbar::plugins::Kind::Tool)
        .unwrap_err();
    assert_eq!(error.code, "plugin-changed");
}

/// At a terminal the person is asked at once, and the run goes on with what they accept.
#[test]
fn a_person_at_a_terminal_is_asked_at_once() {
    let world = world();
    run_in(&world, &["plugins", "list"]).expect(0);
    let world = world.plugin("echo", &echo_with(None));
    let mut person = AtTerminal::start(&world.path(""), &["run", "go"]);
    person
        .until("accept `echo` as it is now? [y/N]")
        .type_keys("n\n")
        .until("can't be used");
    person.end();
    assert_eq!(state(&world, "echo"), "changed");
    let mut person = AtTerminal::start(&world.path(""), &["run", "go"]);
    person
        .until("accept `echo` as it is now? [y/N]")
        .type_keys("y\n")
        .until("echo__echo");
    person.end().expect(0);
    assert_eq!(state(&world, "echo"), "ready");
    assert!(world.read("sandbar.lock").contains("approved_by = \"terminal\""));
}

/// So are they about its memory, and about what other agents use that tasks may be handed to: each once, before anything runs.
#[test]
fn a_person_is_asked_about_all_that_a_run_can_reach() {
    let world = written(
        World::new()
            .guest("echo")
            .guest("memory_probe")
            .guest_as("echo", "unused")
            .script(says("done"))
            .agent("memory = \"memory_probe\"\ndelegates = [\"helper\"]")
            .agents(
                "[agents.helper]\nmodel = \"script\"\nplugins = [\"echo\"]\nmemory = \"memory_probe\"\ndelegates = [\"main\"]\n\
                 [agents.other]\nmodel = \"script\"\nplugins = [\"unused\"]",
            ),
    );
    run_in(&world, &["plugins", "list"]).expect(0);
    let mut world = world;
    for name in ["echo", "memory_probe", "unused"] {
        let mut bytes = std::fs::read(world.path(&format!("plugins/{name}.wasm"))).unwrap();
        bytes.extend([0, 2, 1, b'x']);
        world = world.plugin(name, &bytes);
    }
    for command in [&["run", "go"][..], &["chat"]] {
        let mut person = AtTerminal::start(&world.path(""), command);
        person
            .until("accept `memory_probe` as it is now? [y/N]")
            .type_keys("n\n")
            .until("accept `echo` as it is now? [y/N]")
            .type_keys("n\n");
        if command == ["chat"] {
            person
                .until("/help shows what can be typed")
                .until("> ")
                .type_keys(CTRL_D);
        }
        let shown = person.end().out;
        assert_eq!(shown.matches("as it is now? [y/N]").count(), 2, "{shown}");
    }
    let mut person = AtTerminal::start(&world.path(""), &["run", "go"]);
    person
        .until("accept `memory_probe` as it is now? [y/N]")
        .type_keys("y\n")
        .until("accept `echo` as it is now? [y/N]")
        .type_keys("y\n")
        .until("done");
    person.end().expect(0);
    let states = ["echo", "memory_probe", "unused"].map(|name| state(&world, name));
    assert_eq!(states, ["ready", "ready", "changed"]);
}

/// A person learns of what was recorded without a word of theirs, and of what could not be; the audit has it, whichever command it was.
#[test]
fn what_is_seen_first_is_told_and_audited() {
    let world = written(World::new().guest("echo").with("[grants.echo]\nkv = \"session\""));
    let listed = run_in(&world, &["plugins", "list"]).expect(0);
    let told_once = "new: the plugin `echo` was recorded as it is now; it has what `[grants.echo]` gives";
    assert!(listed.err.contains(told_once), "{}", listed.err);
    let again = run_in(&world, &["plugins", "list"]).expect(0);
    assert!(!again.err.contains("new:"), "{}", again.err);
    let audited = run_in(&world, &["audit", "list", "--json", "--action", "plugin"])
        .expect(0)
        .out;
    assert_eq!(told(&audited), ["plugin.record echo allowed default"]);
}

#[test]
fn a_lock_that_is_no_file_of_its_own_is_refused() {
    let check = |world: World, why: &str| {
        let refused = run_in(&world, &["plugins", "list"]);
        assert_ne!(refused.exit, Some(0), "{}", refused.out);
        assert!(refused.err.contains(why), "`{why}` is not in {}", refused.err);
        run_in(&world, &["plugins", "verify"]).expect(refused.exit.unwrap());
    };
    check(
        world().file("sandbar.lock", ""),
        "it is empty, so that it may have been cut off",
    );
    let linked = world().file("elsewhere.lock", "");
    std::os::unix::fs::symlink("elsewhere.lock", linked.path("sandbar.lock")).unwrap();
    let elsewhere = linked.path("elsewhere.lock");
    let before = std::fs::metadata(&elsewhere).unwrap().modified().unwrap();
    check(linked, "it is a link, and a file was wanted");
    assert!(!elsewhere.exists() || std::fs::metadata(&elsewhere).unwrap().modified().unwrap() == before);
}

/// Ends of lines are version control's; kinds and imports are not to be written by hand.
#[test]
fn verify_sees_what_a_run_would_refuse() {
    let world = world();
    run_in(&world, &["plugins", "list"]).expect(0);
    let whole = world.read("sandbar.lock");
    let check = |text: &str, exit: i32, says: &str| {
        std::fs::write(world.path("sandbar.lock"), text).unwrap();
        let verified = run_in(&world, &["plugins", "verify"]).expect(exit).out;
        assert!(verified.contains(says), "`{says}` is not in {verified}");
    };
    check(&whole.replace('\n', "\r\n"), 0, "approved");
    check(
        &whole.replace("kind = \"tool\"", "kind = \"memory\""),
        3,
        "names another kind than the component is of",
    );
    let import = whole
        .lines()
        .find(|line| line.contains("wasi:") || line.contains("sandbar:plugin"))
        .unwrap();
    check(
        &whole.replace(import, "    \"sandbar:plugin/other@0.1.0\","),
        3,
        "names other imports than the component has",
    );
}

#[test]
fn names_that_nobody_can_tell_apart_are_taken_once() {
    let world = written(
        World::new()
            .guest("echo")
            .guest_as("echo", "ECHO")
            .guest_as("echo", "-rf"),
    );
    let listed = run_in(&world, &["plugins", "list"]).expect(0).err;
    for part in ["its name is taken by", "no `-` at the beginning"] {
        assert!(listed.contains(part), "`{part}` is not in {listed}");
    }
}

#[tokio::test]
async fn a_lock_that_cannot_be_written_is_told() {
    let world = world();
    let mut config = world.config().unwrap();
    config.lock_file = Some(world.path("nowhere/sandbar.lock"));
    let plugins = sandbar::load_plugins(&config, &world.options()).await.unwrap();
    let said = plugins.unrecorded().unwrap().text();
    let expected = "the new plugins `echo` could not be recorded, so that a change of them will not be noticed";
    assert!(said.contains(expected), "{said}");
    assert!(plugins.recorded().is_empty());
}
