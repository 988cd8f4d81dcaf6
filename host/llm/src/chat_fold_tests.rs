//! Answers as servers write them, and what they become.

use super::*;
use crate::frames::Frames;

fn target() -> Arc<Target> {
    Arc::new(Target {
        name: "main".to_owned(),
        model: "m".to_owned(),
        base_url: "http://h/v1".to_owned(),
        key_from: None,
        start: None,
        secret: None,
        protected: Arc::default(),
    })
}

/// Everything that is said, and then the answer.
fn fold(pieces: &[&[u8]]) -> Result<(Vec<ModelPart>, ModelReply), Failure> {
    let (mut frames, mut fold, mut said) = (Frames::new(), ChatFold::new(target()), Vec::new());
    for piece in pieces {
        frames.push(piece).unwrap();
        while let Some(frame) = frames.next() {
            said.extend(fold.push(&frame)?);
        }
    }
    frames.finish().unwrap();
    while let Some(frame) = frames.next().or_else(|| frames.take_document()) {
        said.extend(fold.push(&frame)?);
    }
    Ok((said, fold.finish()?))
}

fn line(folded: &Result<(Vec<ModelPart>, ModelReply), Failure>) -> String {
    let (said, reply) = match folded {
        Ok(folded) => folded,
        Err(failure) => return format!("{}: {}", failure.error.code, failure.error.message),
    };
    let mut assembly = Assembly::default();
    said.iter().try_for_each(|part| assembly.push(part)).unwrap();
    let mut previewed = assembly.finish(Some(&reply.finish_reason), reply.usage);
    previewed
        .message
        .provider_items
        .clone_from(&reply.message.provider_items);
    assert_eq!(previewed, *reply, "previews don't add up to the answer");
    let mut line = format!("{:?}", reply.message.text);
    for call in &reply.message.calls {
        line.push_str(&format!(" {}={}({})", call.id, call.name, call.arguments));
    }
    line.push_str(&format!(" {}", reply.finish_reason));
    for item in &reply.message.provider_items {
        assert_eq!(item["format"], FORMAT);
        line.push_str(&format!(" + {}", item["message"]));
    }
    let Usage {
        input_tokens,
        output_tokens,
        cached_tokens,
        reasoning_tokens,
    } = reply.usage;
    let usage = [input_tokens, output_tokens, cached_tokens, reasoning_tokens];
    if usage != [None; 4] {
        let shown = usage.map(|count| count.map_or("?".to_owned(), |count| count.to_string()));
        line.push_str(&format!(" [{}]", shown.join(" ")));
    }
    line
}

/// The same however the body is cut.
fn check_body(body: &str, expected: &str) {
    let bytes = body.as_bytes();
    for at in 0..=bytes.len() {
        assert_eq!(
            line(&fold(&[&bytes[..at], &bytes[at..]])),
            expected,
            "{body} cut at {at}"
        );
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(line(&fold(&single)), expected, "{body} byte by byte");
}

fn check(events: &[&str], expected: &str) {
    let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    check_body(&body, expected);
}

/// A chunk with a delta.
fn delta(fields: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{{fields}}},"finish_reason":null}}]}}"#)
}

fn check_deltas(deltas: &[&str], reason: &str, expected: &str) {
    let mut events: Vec<String> = deltas.iter().map(|fields| delta(fields)).collect();
    events.push(format!(
        r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#
    ));
    events.push("[DONE]".to_owned());
    check(&events.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn text_is_folded() {
    check_deltas(
        &[
            r#""role":"assistant","content":"""#,
            r#""content":"Grü""#,
            r#""content":"ße 🦀""#,
        ],
        "stop",
        r#""Grüße 🦀" stop"#,
    );
    check_deltas(&[r#""content":null"#], "stop", r#""" stop"#);
    check_deltas(
        &[r#""content":[{"type":"text","text":"a"},{"type":"thinking","thinking":"b"}]"#],
        "stop",
        r#""a" stop + {"content":[{"thinking":"b","type":"thinking"}]}"#,
    );
    check_deltas(
        &[r#""refusal":"I won't""#, r#""refusal":".""#],
        "stop",
        r#""I won't." refusal"#,
    );
    let second = r#"{"choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"yes"}}]}"#;
    check(&[second, "[DONE]"], r#""yes" stop"#);
}

#[test]
fn reasons_are_mapped_or_kept() {
    for (reason, expected) in [
        ("stop", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("content_filter", "content-filter"),
        ("tool_calls", "stop"),
        ("end_turn", "end_turn"),
        (r"odd\u001b[31m", "odd [31m"),
    ] {
        check_deltas(&[r#""content":"a""#], reason, &format!(r#""a" {expected}"#));
    }
}

#[test]
fn calls_are_put_together_from_fragments() {
    let first = r#""tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]"#;
    let more = r#""tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]"#;
    let end = r#""tool_calls":[{"index":0,"function":{"arguments":"1}"}}]"#;
    check_deltas(&[first, more, end], "tool_calls", r#""" a=f({"x":1}) tool-calls"#);
    // Some say that they stopped.
    check_deltas(&[first], "stop", r#""" a=f() tool-calls"#);
    // Interleaved.
    let other = r#""tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]"#;
    let other_end =
        r#""tool_calls":[{"index":1,"function":{"arguments":"}"}},{"index":0,"function":{"arguments":"!"}}]"#;
    check_deltas(
        &[first, other, more, end, other_end],
        "tool_calls",
        r#""" a=f({"x":1}!) b=g({}) tool-calls"#,
    );
    // The name comes last.
    let named = r#""tool_calls":[{"index":0,"function":{"name":"f"}}]"#;
    check_deltas(&[more, end, named], "tool_calls", r#""" call-0=f({"x":1}) tool-calls"#);
    check_deltas(
        &[more],
        "tool_calls",
        r#"model-garbled: the answer of the model `m` at `http://h/v1` can't be read, it has `a call without a name: {"x":`"#,
    );
}

#[test]
fn calls_of_inexact_servers_are_told_apart() {
    // No index.
    let both = r#""tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"[]"}}]"#;
    check_deltas(&[both], "tool_calls", r#""" a=f({}) b=g([]) tool-calls"#);
    // No id either.
    let f = r#""tool_calls":[{"function":{"name":"f","arguments":"{}"}}]"#;
    let g = r#""tool_calls":[{"function":{"name":"g","arguments":{"x":1}}}]"#;
    check_deltas(&[f, g], "tool_calls", r#""" call-0=f({}) call-1=g({"x":1}) tool-calls"#);
    let begin = r#""tool_calls":[{"function":{"name":"f","arguments":"{\"x\""}}]"#;
    let end = r#""tool_calls":[{"function":{"name":"f","arguments":":1}"}}]"#;
    check_deltas(&[begin, end], "tool_calls", r#""" call-0=f({"x":1}) tool-calls"#);
    // All have the index 0.
    let zero = |id: &str, name: &str| {
        format!(r#""tool_calls":[{{"index":0,"id":"{id}","function":{{"name":"{name}","arguments":"{{}}"}}}}]"#)
    };
    check_deltas(
        &[&zero("a", "f"), &zero("b", "g")],
        "stop",
        r#""" a=f({}) b=g({}) tool-calls"#,
    );
    // A new id with each fragment.
    let renamed = r#""tool_calls":[{"index":0,"id":"b","function":{"arguments":" "}}]"#;
    check_deltas(&[&zero("a", "f"), renamed], "stop", r#""" a=f({} ) tool-calls"#);
    // One id twice.
    let twice =
        r#""tool_calls":[{"index":0,"id":"a","function":{"name":"f"}},{"index":1,"id":"a","function":{"name":"g"}}]"#;
    check_deltas(&[twice], "tool_calls", r#""" a=f() a-1=g() tool-calls"#);
}

#[test]
fn what_has_no_place_is_kept() {
    check_deltas(
        &[
            r#""reasoning_content":"Let me""#,
            r#""reasoning_content":" see""#,
            r#""content":"42""#,
        ],
        "stop",
        r#""42" stop + {"reasoning_content":"Let me see"}"#,
    );
    check_deltas(
        &[
            r#""reasoning":"a","reasoning_details":[{"n":1}]"#,
            r#""reasoning":"b","reasoning_details":[{"n":2}]"#,
        ],
        "stop",
        r#""" stop + {"reasoning":"ab","reasoning_details":[{"n":1},{"n":2}]}"#,
    );
    check_deltas(
        &[
            r#""content":"a","annotations":[],"audio":null,"note":"x""#,
            r#""note":"y""#,
        ],
        "stop",
        r#""a" stop + {"note":"y"}"#,
    );
    let signed = r#""tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"signature":"s"}}}]"#;
    check_deltas(
        &[signed],
        "stop",
        r#""" a=f({}) tool-calls + {"tool_calls":[{"extra_content":{"google":{"signature":"s"}}}]}"#,
    );
}

#[test]
fn usage_is_read_where_it_is() {
    let text = &delta(r#""content":"a""#);
    let stop = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}"#;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}}"#;
    check(&[text, stop, usage, "[DONE]"], r#""a" stop [10 5 4 3]"#);
    // Counted up along the way, without details.
    let so_far = r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":10,"completion_tokens":1,"prompt_cache_hit_tokens":2}}"#;
    check(&[so_far, stop], r#""a" stop [10 1 2 ?]"#);
}

#[test]
fn ends_are_recognised() {
    let text = &delta(r#""content":"a""#);
    check(&[text, "[DONE]"], r#""a" stop"#);
    check(&[text, "[DONE]", "garbage"], r#""a" stop"#);
    check(&[text, r#"{"choices":[{"finish_reason":"length"}]}"#], r#""a" length"#);
    let cut_off = "model-cut-off: the answer of the model `m` at `http://h/v1` ended in the middle";
    check(&[text], cut_off);
    check(&[], cut_off);
    check(&["", "{\"type\":\"ping\"}"], cut_off);
}

#[test]
fn errors_within_a_stream_are_errors() {
    let text = &delta(r#""content":"a""#);
    let server = "the server at `http://h/v1`";
    for (event, expected) in [
        (
            r#"{"error":{"message":"overloaded","type":"server_error"}}"#,
            format!("model-failed: {server} failed with status 500: overloaded"),
        ),
        (
            r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#,
            format!("model-rate-limited: {server} is asked too often (429): slow"),
        ),
        (
            r#"{"error":{"message":"none","code":"model_not_found"}}"#,
            format!("unknown-model: {server} has no model `m` (404): none"),
        ),
        (
            r#"{"object":"error","message":"bad","code":400}"#,
            format!("model-failed: {server} failed with status 400: bad"),
        ),
        (
            r#"{"error":"broken"}"#,
            format!("model-failed: {server} failed with status 500: broken"),
        ),
    ] {
        check(&[text, event], &expected);
    }
    check_body(
        "event: error\ndata: gone\n\n",
        &format!("model-failed: {server} failed with status 500: gone"),
    );
    let garbled = |shown: &str| {
        format!("model-garbled: the answer of the model `m` at `http://h/v1` can't be read, it has `{shown}`")
    };
    check(&[text, r#"{"choices":[{"#], &garbled(r#"{"choices":[{"#));
    check(&["[1]"], &garbled("[1]"));
    check(&[&"x".repeat(300)], &garbled(&format!("{}…", "x".repeat(200))));
    check(&["a\\u001b"], &garbled("a\\u001b"));
}

#[test]
fn whole_documents_are_accepted() {
    let message = r#"{"role":"assistant","content":"a","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
    let body = format!(
        "{{\"id\":\"c\",\n\"choices\":[{{\"index\":0,\"message\":{message},\"finish_reason\":\"tool_calls\"}}],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":2}}}}\n"
    );
    check_body(&body, r#""a" x=f({}) tool-calls [1 2 ? ?]"#);
    check(
        &[&body.replace('\n', ""), "[DONE]"],
        r#""a" x=f({}) tool-calls [1 2 ? ?]"#,
    );
    check_body(
        r#"{"error":{"message":"no"}}"#,
        "model-failed: the server at `http://h/v1` failed with status 500: no",
    );
    check_body(
        r#"{"hello":1}"#,
        r#"model-garbled: the answer of the model `m` at `http://h/v1` can't be read, it has `{"hello":1}`"#,
    );
    check_body(
        "{\"choices\":",
        "model-garbled: the answer of the model `m` at `http://h/v1` can't be read, it has `{\"choices\":`",
    );
}

#[test]
fn endless_answers_are_cut() {
    let mut fold = ChatFold::new(target());
    let piece = "x".repeat(1 << 20);
    let mut push = |fields: String| {
        let event = crate::sse::SseEvent {
            name: String::new(),
            data: delta(&fields),
        };
        fold.push(&Frame::Event(event)).map_err(|failure| failure.error.code)
    };
    for at in 0..4 {
        let key = if at % 2 == 0 { "content" } else { "reasoning" };
        assert!(push(format!(r#""{key}":"{piece}""#)).is_ok());
    }
    assert_eq!(push(r#""content":"x""#.to_owned()), Err("reply-too-large".to_owned()));
}
