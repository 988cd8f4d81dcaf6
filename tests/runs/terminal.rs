//! Questions at a real terminal, and what is typed there.

use super::{answer, asking, probing, unfinished, writer, writes};
use crate::support::program::Ended;
use crate::support::script::{asks, says};
use crate::support::terminal::{AtTerminal, CTRL_C, CTRL_D};
use crate::support::world::World;

const CHOICES: &str = "[n]o with a reason, [q]uit: ";

/// Two calls, one after the other, then an answer.
fn writes_twice() -> String {
    let call = |content: &str| {
        let arguments = format!("{{\"path\":\"a.md\",\"content\":\"{content}\"}}");
        asks(&[("files__write", &arguments)])
    };
    call("one") + &call("two") + &says("done")
}

fn running(world: &World) -> AtTerminal {
    AtTerminal::start(world.write_config(), &["run", "go", "--session", "talk"])
}

/// A run whose questions are answered with these keys, one after the other; how it ended, and what the file has then.
fn check(script: &str, keys: &[&str], exit: i32, content: &str) -> Ended {
    let world = writer(script);
    let mut at = running(&world);
    for keys in keys {
        at.until(CHOICES).type_keys(keys);
    }
    let ended = at.end().expect(exit);
    assert_eq!(world.read("work/a.md"), content, "{keys:?}\n{}", ended.out);
    let asked = ended.out.matches(CHOICES).count();
    assert_eq!(asked, keys.len(), "{}", ended.out);
    ended
}

#[test]
fn a_person_is_asked_before_a_file_changes() {
    let ended = check(&writes("new"), &["y\n"], 0, "new");
    for expected in [
        "files__write asks for permission",
        "│ -old",
        "session: every call of files__write in this session",
        "until `sandbar grants revoke`",
    ] {
        assert!(ended.out.contains(expected), "`{expected}` is not in:\n{}", ended.out);
    }
    check(&writes_twice(), &["y\n", "y\n"], 0, "two");
    check(&writes_twice(), &["s\n"], 0, "two");
    check(&writes_twice(), &["always\n"], 0, "two");
    check(&writes_twice(), &["y\n", "n\n"], 0, "one");
}

#[test]
fn a_single_letter_allows_nothing_that_lasts() {
    let ended = check(&writes_twice(), &["a\n", "\n", "y\n", "n\n"], 0, "one");
    assert_eq!(
        ended.out.matches("that is no answer; wanted: `once`").count(),
        2,
        "{}",
        ended.out
    );
}

#[test]
fn a_refusal_tells_the_model_why() {
    let call = asks(&[("files__write", r#"{"path":"a.md","content":"new"}"#)]);
    let told = "[[reply]]\nexpect = { last = 'use another name' }\ntext = \"I see.\"\n";
    let ended = check(&(call + told), &["n use another name\n"], 0, "old");
    assert!(ended.out.contains("I see."), "{}", ended.out);
}

#[test]
fn a_question_can_end_the_run_or_be_left_for_later() {
    check(&writes("new"), &["q\n"], 130, "old");
    check(&writes("new"), &[CTRL_C], 130, "old");
    let ended = check(&writes("new"), &[CTRL_D], 9, "old");
    assert!(ended.out.contains("sandbar runs answer q-"), "{}", ended.out);
}

#[test]
fn an_interrupt_cancels_a_run_at_a_terminal() {
    let world = writer("[[reply]]\nhang = true\n");
    let mut at = AtTerminal::start(world.write_config(), &["run", "go", "--json", "--timeout", "60"]);
    at.until("model.started").type_keys(CTRL_C);
    let ended = at.end().expect(130);
    assert!(
        ended.out.contains("cancelling; interrupt again to quit at once"),
        "{}",
        ended.out
    );
}

#[test]
fn a_run_left_for_later_asks_again() {
    let world = asking(writes("new"));
    let mut at = running(&world);
    at.until(CHOICES).type_keys(CTRL_D);
    at.end().expect(9);
    let (id, _) = unfinished(&world);
    let mut at = AtTerminal::start(&world.path(""), &["runs", "resume", &id]);
    at.until("files__write asks for permission")
        .until(CHOICES)
        .type_keys("y\n");
    at.end().expect(0);
    assert_eq!(world.read("work/a.md"), "new");
}

#[test]
fn a_question_is_taken_back_when_another_process_answers_it() {
    let world = asking(writes("new"));
    let mut at = running(&world);
    at.until(CHOICES);
    let question = unfinished(&world).1.unwrap();
    let ended = answer(&world, &question, &["once"]).expect(0);
    assert!(
        ended.err.contains("has the session, and goes on with the answer"),
        "{}",
        ended.err
    );
    at.until("the question is taken back: `terminal` has answered it elsewhere, with once")
        .until("done");
    at.end().expect(0);
    assert_eq!(world.read("work/a.md"), "new");
}

#[test]
fn a_pattern_asks_at_the_terminal() {
    let world = probing();
    let mut at = AtTerminal::start(&world.path(""), &["run", "ask which colour?"]);
    at.until("the agent asks")
        .until("│ which colour?")
        .until("answer: ")
        .type_keys("sea green\n");
    at.until("sea green\r\n").until("sea green");
    at.end().expect(0);
}

#[test]
fn a_chat_takes_lines_and_asks() {
    let world = writer(says("hello to you") + &writes("new"));
    let mut at = AtTerminal::start(world.write_config(), &["chat"]);
    at.until("/help shows what can be typed").until("> ").type_keys("hi\r");
    at.until("hello to you").until("> ").type_keys("change it\r");
    at.until(CHOICES).type_keys("y\n");
    at.until("done").until("> ").type_keys("/undo-last-write\r");
    at.until("+old").until("restore? [y]es, [n]o: ").type_keys("y\n");
    at.until("is as it was").until("> ").type_keys(CTRL_D);
    at.end().expect(0);
    assert_eq!(world.read("work/a.md"), "old");
}

/// What is allowed for the session is not asked again, and so nobody could keep the file: an older change must not pass for the last one.
#[test]
fn a_change_that_was_not_asked_for_is_not_undone() {
    let world = writer(writes_twice());
    let mut at = AtTerminal::start(world.write_config(), &["chat"]);
    at.until("/help shows what can be typed").until("> ").type_keys("go\r");
    at.until(CHOICES).type_keys("s\n");
    at.until("done").until("> ").type_keys("/undo-last-write\r");
    at.until("may be called without asking")
        .until("> ")
        .type_keys("/undo-last-write\r");
    at.until("restore? [y]es, [n]o: ").type_keys("y\n");
    at.until("is as it was").until("> ").type_keys(CTRL_D);
    at.end().expect(0);
    assert_eq!(world.read("work/a.md"), "old");
}
