//! Scripts as they are written: which load, and what is said of the others.

use super::*;

fn check(script: &str, expected: &str) {
    let got = match Script::parse(script, "replies.toml") {
        Ok(script) => format!("{} replies", script.replies.len()),
        Err(error) => {
            assert_eq!((error.code.as_str(), error.kind), ("script-invalid", ErrorKind::Config));
            error.text()
        }
    };
    assert_eq!(got, expected, "{script}");
}

#[test]
fn good_scripts_load() {
    check("", "0 replies");
    check("[[reply]]\ntext = ''\n[[reply]]\nhang = true", "2 replies");
    check(
        "[[reply]]\ncapture = '(?P<a>.)'\ntext = '${a}'\ncalls = [{ name = 'x__y', arguments = '${a}' }]",
        "1 replies",
    );
}

#[test]
fn mistakes_are_named_with_their_line() {
    check(
        "[[replies]]\ntext = 'a'",
        "line 1 of `replies.toml`: the script has no key `replies`\nhint: did you mean `reply`?",
    );
    check(
        "[[reply]]\n\ntxet = 'a'",
        "line 3 of `replies.toml`: `[[reply]]` has no key `txet`\nhint: did you mean `text`?",
    );
    check(
        "[[reply]]\ntext = 'a'\nexpect = { zzz = 1 }",
        "line 3 of `replies.toml`: `expect` has no key `zzz`\n\
         hint: its keys are `last`, `instructions`, `tools`, `thread`, `messages`, `failed`",
    );
    check(
        "[[reply]]\ncalls = [{ name = 'a__b' },\n { nmae = 'c__d' }]",
        "line 3 of `replies.toml`: `calls` has no key `nmae`\nhint: did you mean `name`?",
    );
    check(
        "[[reply]]\ntext = 5",
        "line 2 of `replies.toml` is not a script: invalid type: integer `5`, expected a string\n\
         hint: a script is TOML: a list of `[[reply]]`, each with `text`, `calls`, `error` or `hang`",
    );
    check(
        "[[reply]]\ntext = 'a'\nexpect.last = 'a(b'",
        "line 3 of `replies.toml`: `expect.last` is not a regular expression: `a(b`\n\
         hint: unclosed group; a plain text needs `\\` before . * + ? ( ) [ ] { } ^ $ |",
    );
}

#[test]
fn contradictions_are_named_with_their_reply() {
    check(
        "[[reply]]\ntext = 'a'\n\n[[reply]]\nexpect = { messages = 3 }",
        "reply 2 of `replies.toml` (line 4) answers nothing\nhint: add `text`, `calls`, `error` or `hang = true`",
    );
    check(
        "[[reply]]\ntext = 'a'\nhang = true",
        "reply 1 of `replies.toml` (line 1) answers in more than one way\n\
         hint: `error`, `hang`, and `text` with `calls` exclude each other",
    );
    check(
        "[[reply]]\ntext = 'a'\nchunk = 0",
        "reply 1 of `replies.toml` (line 1) has `chunk = 0`, but at least 1 character must go into a delta",
    );
    check(
        "[[reply]]\ncalls = [{ name = 'a__b', arguments = [1] }]",
        "line 2 of `replies.toml`: `arguments` of `a__b` is of type array, but a table or a string is wanted",
    );
    check(
        "[[reply]]\ntext = '${hit}'\n[[reply]]\ncapture = '(?P<hit>.)'\ntext = 'a'",
        "reply 1 of `replies.toml` (line 1) uses `${hit}`, which no `capture` up to it has\n\
         hint: name a group in `capture`, as in `(?P<hit>…)`, or write `$${hit}` for the text itself",
    );
    check(
        "[[reply]]\ncapture = '(?P<hit>.)'\ncalls = [{ name = 'a__b', arguments = { x = ['${hti}'] } }]",
        "reply 1 of `replies.toml` (line 1) uses `${hti}`, which no `capture` up to it has\nhint: did you mean `hit`?",
    );
}
