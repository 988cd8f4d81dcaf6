//! A model's arguments: anything until they are parsed and fit the tool's schema.

use sandbar_protocol::{Error, ErrorKind, MAX_JSON_DEPTH, Schema};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The longest arguments of one call.
pub(crate) const MAX_ARGUMENT_BYTES: usize = 1 << 20;

/// Parses and checks; an error is what the model reads. Empty arguments are `{}`.
pub(crate) fn parse(tool: &str, text: &str, schema: &Schema) -> Result<Value, Error> {
    let wrong = |code: &str, message: String| Error::new(ErrorKind::InvalidInput, code, message);
    if text.len() > MAX_ARGUMENT_BYTES {
        return Err(wrong(
            "arguments-too-large",
            format!(
                "the arguments of `{tool}` have {} bytes, the limit is {MAX_ARGUMENT_BYTES}",
                text.len()
            ),
        )
        .with_hint("send less in one call"));
    }
    let text = if text.trim().is_empty() { "{}" } else { text };
    // serde_json refuses what is nested more than 128 deep; the schema's check has the tighter limit.
    let value: Value = serde_json::from_str(text).map_err(|error| {
        wrong(
            "malformed-arguments",
            format!("the arguments of `{tool}` are not JSON: {error}"),
        )
        .with_hint("call again with one JSON object")
    })?;
    if !value.is_object() {
        return Err(wrong(
            "malformed-arguments",
            format!("the arguments of `{tool}` are no JSON object"),
        )
        .with_hint("call again with one JSON object"));
    }
    schema.check(&value).map_err(|problems| {
        wrong(
            "invalid-arguments",
            format!("the arguments of `{tool}` don't fit: {}", problems.join("; ")),
        )
        .with_hint(format!(
            "call again with arguments that fit the tool's schema, at most {MAX_JSON_DEPTH} levels deep"
        ))
    })?;
    Ok(value)
}

/// SHA-256 of the canonical form (keys sorted, no spaces), or of the text itself where it is no JSON.
pub(crate) fn digest(text: &str) -> String {
    let canonical = serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string());
    Sha256::digest(canonical.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: &str) {
        let schema = json!({ "type": "object", "properties": { "path": { "type": "string" } } });
        let found = match parse("files__read", text, &Schema::compile(&schema).unwrap()) {
            Ok(value) => value.to_string(),
            Err(error) => format!("{}: {}", error.code, error.message),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn arguments() {
        check("", "{}");
        check(" \n", "{}");
        check(r#"{"path":"a"}"#, r#"{"path":"a"}"#);
        check(
            "[1]",
            "malformed-arguments: the arguments of `files__read` are no JSON object",
        );
        check(
            r#"{"path":"#,
            "malformed-arguments: the arguments of `files__read` are not JSON: EOF while parsing a value at line 1 column 8",
        );
        check(
            r#"{"path":1}"#,
            "invalid-arguments: the arguments of `files__read` don't fit: `/path`: 1 is not of type \"string\"",
        );
        let deep = format!("{{\"path\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        assert!(
            parse("t", &deep, &Schema::compile(&json!({})).unwrap())
                .unwrap_err()
                .message
                .contains("levels deep")
        );
    }

    #[test]
    fn the_digest_ignores_order_and_spaces() {
        assert_eq!(digest(r#"{"a":1,"b":2}"#), digest(r#"{ "b" : 2, "a" : 1 }"#));
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":2}"#));
    }
}
