//! `sandbar chat` with its messages on standard input, and what consent means where there is no terminal.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::program::{Ended, sandbar};
use crate::support::script::{asks, says};
use crate::support::world::World;

/// A chat to its end. The journal has the events of all of it.
fn chat(world: &World, arguments: &[&str], input: &str) -> Ended {
    let arguments: Vec<&str> = ["chat"].iter().chain(arguments).copied().collect();
    let mut command = sandbar(world.write_config(), &arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A chat that ends early closes its end.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

/// An agent that may change the workspace, where `a.md` is.
fn writer(script: &str) -> World {
    World::new()
        .tools(&["files"])
        .with("[grants.files]\nfiles = \"read-write\"")
        .file("work/a.md", "old\n")
        .with("[models.unused]\nprovider = \"ollama\"\nmodel = \"m\"")
        .script(script)
}

fn write(path: &str, content: &str) -> String {
    let arguments = format!("{{\"path\":\"{path}\",\"content\":\"{content}\"}}");
    asks(&[("files__write", &arguments)]) + &says(&format!("wrote {path}"))
}

#[test]
fn each_line_is_a_message_of_one_session() {
    let script = r#"
        [[reply]]
        text = "one"
        [[reply]]
        expect = { last = "^a\\nb$" }
        text = "two"
        [[reply]]
        expect = { last = "again" }
        text = "three"
    "#;
    let world = World::new().script(script);
    let ended = chat(&world, &[], "hello\n\na\\\nb\n/session\n/quit\nnever\n").expect(0);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[..2], ["one", "two"]);
    assert!(
        lines[2].starts_with("session s-") && lines[2].contains("agent main · 2 runs"),
        "{lines:?}"
    );
    assert!(lines[3].contains("continue: sandbar chat --session s-"), "{lines:?}");

    let id = lines[2].split(' ').nth(1).unwrap();
    let ended = chat(&world, &["--session", id], "again\n/new\n/session\n").expect(0);
    assert_eq!(ended.out, "three\nthe session begins with the first message\n");
}

#[test]
fn commands_say_what_there_is() {
    let world = writer(&says("hello"));
    let ended = chat(&world, &[], "/tools\n/model\n/cost\nhi\n/cost\n/cots\n/etc is what?\n").expect(6);
    for expected in [
        "files__write   changes, may be repeated, shows a preview",
        "model script: scripted",
        "no model has answered",
    ] {
        assert!(ended.out.contains(expected), "{expected} is not in:\n{}", ended.out);
    }
    // The script doesn't count tokens: what they are stays unknown.
    assert!(
        ended.out.contains("script  1      unknown    unknown     unknown"),
        "{}",
        ended.out
    );
    assert!(ended.err.contains("hint: did you mean `/cost`?"), "{}", ended.err);
}

#[test]
fn a_run_that_fails_does_not_end_the_chat() {
    let world = World::new().script(says("one"));
    let ended = chat(&world, &[], "first\nsecond\n/session\n").expect(6);
    assert!(ended.out.starts_with("one\nsession s-"), "{}", ended.out);
    assert!(ended.err.contains("model failed"), "{}", ended.err);
}

#[test]
fn the_last_write_is_undone_and_the_model_is_told() {
    let told = "[[reply]]\nexpect = { last = '^\\[I have undone the last change of: a\\.md, new\\.md\\]\\n\\nnext$' }\ntext = \"I see.\"\n";
    let world = writer(&(write("new.md", "x") + &write("a.md", "changed") + told));
    let input = "make one\nchange one\n/undo-last-write\n/undo-last-write\n/undo-last-write\nnext\n";
    let ended = chat(&world, &[], input).expect(0);
    assert_eq!(ended.out, "wrote new.md\nwrote a.md\nI see.\n");
    assert_eq!(world.read("work/a.md"), "old\n");
    assert!(!world.path("work/new.md").exists());
    for expected in ["  -changed", "  +old", "  +++ /dev/null", "nothing to undo"] {
        assert!(ended.err.contains(expected), "{expected} is not in:\n{}", ended.err);
    }
}

#[test]
fn without_a_terminal_the_grants_decide() {
    let check = |arguments: &[&str], exit: i32, content: &str| {
        let world = writer(&write("a.md", "new"));
        let ended = chat(&world, arguments, "go\n").expect(exit);
        assert_eq!(world.read("work/a.md"), content, "{arguments:?}\n{}", ended.err);
    };
    check(&[], 0, "new");
    check(&["--yes"], 0, "new");
    check(&["--ask"], 2, "old\n");
    check(&["--ask", "--yes"], 2, "old\n");
}

#[test]
fn write_grants_and_model_overrides() {
    let world = World::new()
        .tools(&["files"])
        .file("work/a.md", "old\n")
        .script(write("a.md", "new"));
    chat(&world, &[], "go\n").expect(0);
    assert_eq!(world.read("work/a.md"), "old\n");
    chat(&world, &["--write"], "go\n").expect(0);
    assert_eq!(world.read("work/a.md"), "new");

    let world = writer("");
    let ended = chat(&world, &["--model", "qwen3"], "").expect(2);
    assert!(
        ended.err.contains("the agent `main` has the scripted model `script`"),
        "{}",
        ended.err
    );
    let ended = chat(&world, &["--model", "unused"], "/model\n").expect(0);
    assert!(
        ended
            .out
            .contains("model unused: m · ollama · http://127.0.0.1:11434/v1 · no key"),
        "{}",
        ended.out
    );
    let ended = chat(&world, &["--base-url", "http://127.0.0.1:1/v1"], "").expect(2);
    assert!(ended.err.contains("models.script.base_url=URL"), "{}", ended.err);
}

#[test]
fn without_a_configuration_a_server_is_enough() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| -> Ended { sandbar(directory.path(), arguments).output().unwrap().into() };
    // Nothing listens on port 1.
    let server = ["--base-url", "http://127.0.0.1:1/v1"];
    let ended = run(&["run", "hi", server[0], server[1]]).expect(2);
    assert!(ended.err.contains("name a model with `--model`"), "{}", ended.err);
    let ended = run(&["run", "hi", server[0], server[1], "--model", "m"]).expect(6);
    assert!(ended.err.contains("can't be reached"), "{}", ended.err);
    let ended = run(&["run", "hi", server[0], server[1], "--api-key", "sk-secret"]).expect(2);
    assert!(!ended.err.contains("sk-secret"), "{}", ended.err);
    let ended = run(&[]).expect(0);
    assert!(ended.out.contains("sandbar init my-agent"), "{}", ended.out);
}
