//! What a person is shown before they accept a plugin that is not what was approved: all that it is given by that, in words, and nothing
//! that can't be seen.

use super::lock::state;
use super::{lines, run_in, written};
use crate::support::built;
use crate::support::script::says;
use crate::support::world::World;

/// A guest with each of these texts in the place of another of the same length.
fn patched(guest: &str, texts: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = built::guest(guest);
    for (before, after) in texts {
        assert_eq!(before.len(), after.len());
        let places: Vec<usize> = (0..bytes.len() - before.len())
            .filter(|at| bytes[*at..].starts_with(before.as_bytes()))
            .collect();
        assert!(!places.is_empty(), "`{before}` is not in `{guest}`");
        for at in places {
            bytes[at..at + after.len()].copy_from_slice(after.as_bytes());
        }
    }
    bytes
}

fn world(guest: &str) -> World {
    let world = written(World::new().guest_as(guest, "it").script(says("done")));
    run_in(&world, &["plugins", "list"]).expect(0);
    world
}

fn has_all(shown: &str, parts: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
}

#[test]
fn the_dangerous_imports_are_told_in_words() {
    let requests = "(over the network, where `http` is granted; without a grant none)";
    for (guest, http, further) in [
        ("fetcher", "sandbar:plugin/http@0.1.0", "sandbar:plugin/secrets@0.1.0"),
        (
            "wasi_fetcher",
            "wasi:http/outgoing-handler@0.2.",
            "wasi:http/types@0.2.",
        ),
    ] {
        let world = world("echo").guest_as(guest, "it");
        let shown = run_in(&world, &["plugins", "approve", "it", "--yes"]).expect(0).err;
        has_all(&shown, &["it asks for more", "+ imports ", http, further, requests]);
        assert!(!shown.contains("not known to this version"), "{shown}");
        let inspected = run_in(&world, &["plugins", "inspect", "it"]).expect(0).out;
        has_all(&inspected, &["  requests  ", http, further]);
        assert!(!inspected.contains("  unknown"), "{inspected}");
    }
}

/// Nothing of it was approved before, and the grants for its name were written for another.
#[test]
fn all_of_a_file_in_the_place_of_a_bundled_plugin_is_shown() {
    let grant = "[grants.files]\nfiles = \"read-write\"\nhttp = [\"https://api.example.com/\"]";
    let world = written(
        World::new()
            .guest_as("fetcher", "files")
            .with(grant)
            .script(says("done")),
    );
    let parts = [
        "it takes the place of a bundled plugin",
        "+ imports sandbar:plugin/http@0.1.0  (over the network",
        "+ imports sandbar:plugin/secrets@0.1.0  (asks whether a secret is there",
        "+ requests whatever is granted: it has no manifest",
        "+ tool exists, which says of itself: nothing",
        "    + Asks whether there is a secret.",
        "    + input {\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"],\"type\":\"object\"}",
        "+ tool peek, which says of itself: previews, approval",
        "what it could do then",
        "https://api.example.com/",
    ];
    has_all(&run_in(&world, &["plugins", "approve", "files"]).expect(3).err, &parts);
    let accepted = run_in(&world, &["plugins", "approve", "files", "--yes", "--json"])
        .expect(0)
        .out;
    let accepted = &lines(&accepted)[0];
    assert_eq!(accepted["difference"]["new_tools"].as_array().unwrap().len(), 8);
    assert_eq!(accepted["effective"]["files"], "read-write");
    assert_eq!(accepted["effective"]["http"][0]["url"], "https://api.example.com/");
}

/// A pattern gets nothing of a grant.
#[test]
fn a_pattern_in_the_place_of_the_bundled_one_has_no_powers() {
    let grant = "[grants.react]\nfiles = \"read-write\"";
    let world = written(
        World::new()
            .guest_as("pattern_probe", "react")
            .with(grant)
            .script(says("done")),
    );
    let shown = run_in(&world, &["plugins", "approve", "react"]).expect(3).err;
    has_all(
        &shown,
        &["what it could do then: decide for its agent; a pattern has no powers"],
    );
    let accepted = run_in(&world, &["plugins", "approve", "react", "--yes", "--json"])
        .expect(0)
        .out;
    assert_eq!(lines(&accepted)[0]["effective"]["files"], "none");
}

#[test]
fn what_decides_whether_a_person_is_asked_is_approved() {
    let world = world("echo");
    let lock = world.read("sandbar.lock");
    has_all(
        &lock,
        &[
            "[plugins.it.traits]\n",
            "echo = \"read-only, idempotent\"\n",
            "count = \"nothing\"\n",
        ],
    );
    let world = world.plugin("it", &patched("echo", &[("read-only", "real-only")]));
    let shown = run_in(&world, &["plugins", "approve", "it"]).expect(3).err;
    has_all(
        &shown,
        &[
            "its tools say something else of themselves",
            "  what the tool echo says of itself has changed:\n    - read-only, idempotent\n    + idempotent\n",
        ],
    );
    let listed = run_in(&world, &["plugins", "list", "--json"]).expect(0).out;
    let it = lines(&listed)
        .into_iter()
        .find(|plugin| plugin["name"] == "it")
        .unwrap();
    let changed = it["difference"]["changed_traits"].as_array().unwrap();
    let echo = changed.iter().find(|tool| tool["name"] == "echo").unwrap();
    assert_eq!(echo["before"], "read-only, idempotent");
    // With the same digest by hand, too: the lock has what was approved.
    let digest = it["digest"].as_str().unwrap();
    let at = lock.find("digest = \"").unwrap() + "digest = \"".len();
    std::fs::write(world.path("sandbar.lock"), lock.replace(&lock[at..at + 64], digest)).unwrap();
    assert_eq!(state(&world, "it"), "changed");
}

/// An entry that was written before traits were recorded is one of the same component.
#[test]
fn an_older_entry_gets_what_it_lacks() {
    let world = world("echo");
    let lock = world.read("sandbar.lock");
    let (before, after) = (
        lock.find("[plugins.it.traits]").unwrap(),
        lock.find("# The end.").unwrap(),
    );
    let older = format!("{}{}", &lock[..before], &lock[after..]);
    std::fs::write(world.path("sandbar.lock"), &older).unwrap();
    assert_eq!(state(&world, "it"), "ready");
    assert_eq!(world.read("sandbar.lock"), lock);
    // Where the component is another as well, nothing is filled in.
    std::fs::write(world.path("sandbar.lock"), &older).unwrap();
    let world = world.plugin("it", &patched("echo", &[("read-only", "real-only")]));
    assert_eq!(state(&world, "it"), "changed");
    assert_eq!(world.read("sandbar.lock"), older);
}

#[test]
fn another_patch_of_wasi_is_not_more() {
    let world = world("echo");
    let lock = world.read("sandbar.lock");
    assert!(lock.contains("wasi:io/poll@0.2.12\""), "{lock}");
    let world = world.plugin("it", &patched("echo", &[("@0.2.12", "@0.2.11")]));
    let shown = run_in(&world, &["plugins", "approve", "it", "--yes"]).expect(0).err;
    has_all(&shown, &["it is not what was approved: it is another component\n"]);
    assert!(!shown.contains(" imports "), "{shown}");
    assert!(
        world.read("sandbar.lock").contains("wasi:io/poll@0.2.11\""),
        "they are recorded exactly"
    );
}

#[test]
fn nothing_that_a_model_reads_of_a_tool_is_hidden() {
    // Tags, an override of the direction, a selector of variations, and what has no width in two ways.
    let hidden = "\u{e0041}\u{e007f}\u{202e}\u{e0100}\u{ad}\u{180e}";
    let text = "Gives the body with a dot behind each character";
    let after = format!("{hidden}{}", &text[hidden.len()..]);
    let world = world("echo").plugin(
        "it",
        &patched(
            "fetcher",
            &[(text, &after), ("Asks whether", "\u{e0041}\u{202e}\u{61c}\u{34f}r")],
        ),
    );
    let approved = run_in(&world, &["plugins", "approve", "it", "--yes"]).expect(0).err;
    let inspected = run_in(&world, &["plugins", "inspect", "it"]).expect(0).out;
    let json = run_in(&world, &["plugins", "inspect", "it", "--json"]).expect(0).out;
    has_all(&inspected, &[&text[hidden.len()..]]);
    for shown in [&approved, &inspected, &json] {
        has_all(shown, &["r there is a secret."]);
        let found: Vec<char> = shown.chars().filter(|c| sandbar::protocol::is_unseen(*c)).collect();
        assert!(found.is_empty(), "{found:?} in:\n{shown}");
    }
}

#[test]
fn a_key_that_nobody_sees_is_refused() {
    let key = ("timeout_ms", "t\u{e0041}ut_ms");
    let world = written(
        World::new()
            .plugin("it", &patched("fetcher", &[key]))
            .script(says("done")),
    );
    let listed = run_in(&world, &["plugins", "list"]).expect(0);
    has_all(
        &listed.err,
        &[
            r"it is broken: bad-describe: the input schema of `fetch`: the key `t\u{e0041}ut_ms` has characters that nobody sees",
        ],
    );
}

#[test]
fn names_in_lists_are_seen() {
    let world = written(
        World::new()
            .plugin("a\u{200b}\u{202e}b", b"no component")
            .script(says("done")),
    );
    let listed = run_in(&world, &["plugins", "list"]).expect(0);
    has_all(&listed.out, &["a\u{fffd}\u{fffd}b", r"plugins/a\u{200b}\u{202e}b.wasm"]);
    let shown = format!("{}{}", listed.out, listed.err);
    assert!(!shown.chars().any(sandbar::protocol::is_unseen), "{shown}");
}
