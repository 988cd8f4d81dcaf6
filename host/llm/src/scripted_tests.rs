//! The scripted model on conversations: a script, what is sent, and what comes.

use std::time::Duration;

use futures::FutureExt;
use sandbar_protocol::{ToolCall, ToolSpec, ToolTraits};

use super::*;

const SEARCH: &str = r#"
[[reply]]
expect = { last = "TODO", instructions = "brief", tools = ["files__search"], messages = 1 }
calls = [ { name = "files__search", arguments = { pattern = "TODO" } } ]
usage = { input_tokens = 10, output_tokens = 5 }

[[reply]]
expect = { failed = false }
capture = '(?P<hit>[^:]+):(?P<line>\d+)'
text = "I'll look at ${hit}."
calls = [
    { name = "files__read", arguments = { path = "${hit}", deep = ["${line}"] } },
    { id = "mine", name = "files__read", arguments = '{"line": ${line}, broken' },
]

[[reply]]
text = "${hit} has it in line ${line}."
finish_reason = "length"

[[reply]]
expect = { thread = "plan" }
calls = [ { name = "files__list" } ]
"#;

fn model(script: &str) -> ScriptedModel {
    ScriptedModel::parse("script", script, "replies.toml").unwrap()
}

fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

fn assistant(text: &str) -> Message {
    Message::new(Role::Assistant, text)
}

fn request(messages: &[Message]) -> ModelRequest {
    let tool = ToolSpec {
        name: "files__search".to_owned(),
        description: "searches".to_owned(),
        input_schema: serde_json::json!({}),
        output_schema: None,
        traits: ToolTraits::default(),
    };
    ModelRequest {
        instructions: "Be brief.".to_owned(),
        thread: "main".to_owned(),
        messages: messages.iter().cloned().map(Arc::new).collect(),
        tools: vec![Arc::new(tool)],
        schema: None,
    }
}

/// The whole answer, after checking that the previews add up to it.
async fn ask(model: &ScriptedModel, request: ModelRequest) -> Result<ModelReply> {
    let mut stream = model.call(request);
    let mut assembly = Assembly::default();
    let mut whole = None;
    while let Some(part) = stream.next().await {
        match part? {
            ModelPart::Finished(reply) => assert!(whole.replace(*reply).is_none(), "two answers"),
            preview => assembly.push(&preview).unwrap(),
        }
    }
    let whole = whole.expect("a stream that ends has an answer");
    assert_eq!(assembly.finish(Some(&whole.finish_reason), whole.usage), whole);
    Ok(whole)
}

fn line(reply: &Result<ModelReply>) -> String {
    match reply {
        Ok(reply) => {
            let calls: Vec<String> = reply.message.calls.iter().map(call_line).collect();
            format!(
                "{:?} [{}] {}",
                reply.message.text,
                calls.join("; "),
                reply.finish_reason
            )
        }
        Err(error) => format!("{}: {}", error.code, error.text()),
    }
}

fn call_line(call: &ToolCall) -> String {
    format!("{} {} {}", call.id, call.name, call.arguments)
}

async fn check(script: &str, request: ModelRequest, expected: &str) {
    assert_eq!(line(&ask(&model(script), request).await), expected);
}

#[tokio::test]
async fn position_follows_from_the_messages() {
    let mut messages = vec![user("find the TODO")];
    let first = r#""" [call-0-0 files__search {"pattern":"TODO"}] tool-calls"#;
    check(SEARCH, request(&messages), first).await;
    messages.extend([assistant(""), Message::tool_result("call-0-0", "a.rs:17: later", false)]);
    let second = r#""I'll look at a.rs." [call-1-0 files__read {"deep":["17"],"path":"a.rs"}; mine files__read {"line": 17, broken] tool-calls"#;
    check(SEARCH, request(&messages), second).await;
    // What the second reply captured is found again from the messages alone.
    messages.extend([
        assistant("I'll look"),
        Message::tool_result("call-1-0", "the text", false),
    ]);
    check(SEARCH, request(&messages), r#""a.rs has it in line 17." [] length"#).await;
    messages.extend([assistant("a.rs"), user("and now?")]);
    let end = "script-exhausted: `replies.toml` has no reply after number 3 (line 16) for thread `main`, but was sent `and now?`\n\
               hint: add a `[[reply]]` at the end of the script";
    check(SEARCH, request(&messages), end).await;
}

#[tokio::test]
async fn threads_have_replies_of_their_own() {
    let on = |thread: &str| ModelRequest {
        thread: thread.to_owned(),
        ..request(&[user("plan")])
    };
    check(SEARCH, on("plan"), r#""" [call-plan-0-0 files__list {}] tool-calls"#).await;
    let none = "script-exhausted: `replies.toml` has no reply for thread `other`, but was sent `plan`\n\
                hint: add a `[[reply]]` with `expect = { thread = \"other\" }`";
    check(SEARCH, on("other"), none).await;
}

#[tokio::test]
async fn unmet_expectations_say_what_was_sent() {
    let sent = |text: &str| request(&[user(text)]);
    let expecting = |what: &str| format!("[[reply]]\ntext = 'ok'\nexpect = {{ {what} }}");
    let long = "x".repeat(300);
    let cut = format!("the last message to match `^a`, but was sent `{}…`", "x".repeat(200));
    let failing = request(&[user("a"), Message::tool_result("c", "no such file", true)]);
    for (what, request, expected) in [
        (
            "last = '^a'",
            sent("b"),
            "the last message to match `^a`, but was sent `b`",
        ),
        ("last = '^a'", sent(&long), cut.as_str()),
        (
            "last = '^a'",
            request(&[]),
            "the last message to match `^a`, but was sent ``",
        ),
        (
            "instructions = 'long'",
            sent("b"),
            "the instructions to match `long`, but was sent `Be brief.`",
        ),
        (
            "tools = ['x__y']",
            sent("b"),
            "the tool `x__y` to be offered, but was sent `files__search`",
        ),
        (
            "tools = []",
            sent("b"),
            "no tool to be offered, but was sent `files__search`",
        ),
        ("messages = 3", sent("b"), "3 messages, but was sent `1`"),
        (
            "failed = true",
            sent("b"),
            "a last message that reports a failure, but was sent `b`",
        ),
        (
            "failed = false",
            failing,
            "a last message that reports no failure, but was sent `no such file`",
        ),
    ] {
        let expected = format!(
            "script-mismatch: reply 1 of `replies.toml` (line 1) expects {expected}\n\
             hint: change the script's expectation, or what leads to this request"
        );
        check(&expecting(what), request, &expected).await;
    }
    let captures = "[[reply]]\ntext = 'ok'\ncapture = '(?P<n>\\d)'";
    let expected = "script-mismatch: reply 1 of `replies.toml` (line 1) expects to capture `(?P<n>\\d)` from the last message, \
                    but was sent `b`\nhint: change the script's expectation, or what leads to this request";
    check(captures, sent("b"), expected).await;
}

#[tokio::test]
async fn deltas_are_whole_characters() {
    let script =
        "[[reply]]\nretries = 2\nchunk = 3\ntext = 'größer!'\ncalls = [{ name = 'a__b', arguments = '12345' }]";
    let parts: Vec<ModelPart> = model(script)
        .call(request(&[]))
        .map(|part| part.unwrap())
        .collect()
        .await;
    let shown: Vec<String> = parts
        .iter()
        .map(|part| match part {
            ModelPart::Text(text) => text.clone(),
            ModelPart::CallStarted { id, name } => format!("{id}={name}"),
            ModelPart::CallArguments { id, text } => format!("{id}+{text}"),
            ModelPart::Finished(reply) => reply.finish_reason.clone(),
            ModelPart::Retrying { request, error, .. } => format!("{request} {}", error.code),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "1 rate-limited",
            "2 rate-limited",
            "grö",
            "ßer",
            "!",
            "call-0-0=a__b",
            "call-0-0+123",
            "call-0-0+45",
            "tool-calls"
        ]
    );
}

#[tokio::test]
async fn usage_is_unknown_unless_written() {
    let known = ask(&model(SEARCH), request(&[user("TODO")])).await.unwrap().usage;
    assert_eq!(
        (known.input_tokens, known.output_tokens, known.cached_tokens),
        (Some(10), Some(5), None)
    );
    let unknown = ask(&model("[[reply]]\ntext = 'a'"), request(&[])).await.unwrap().usage;
    assert_eq!(unknown, Usage::default());
}

#[tokio::test(start_paused = true)]
async fn calls_fail_hang_and_take_time() {
    let fails = "[[reply]]\nerror = { code = 'rate-limited', message = 'too many requests', retryable = true }";
    let error = ask(&model(fails), request(&[])).await.unwrap_err();
    assert_eq!(
        error,
        Error::new(ErrorKind::Model, "rate-limited", "too many requests").retryable()
    );

    let mut stream = model("[[reply]]\nhang = true").call(request(&[]));
    assert_eq!(stream.next().now_or_never(), None);

    let before = tokio::time::Instant::now();
    let slow = "[[reply]]\ntext = 'abcdef'\nchunk = 2\ndelay_ms = 1000";
    check(slow, request(&[]), r#""abcdef" [] stop"#).await;
    assert_eq!(before.elapsed(), Duration::from_secs(3));
}
