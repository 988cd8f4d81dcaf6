//! Scripts for the scripted model, from a few words.

use serde_json::Value;

/// A reply with calls: names of tools and their arguments, which are sent as they are.
pub(crate) fn asks(calls: &[(&str, &str)]) -> String {
    let calls = calls
        .iter()
        .map(|(name, arguments)| format!("{{ name = {}, arguments = {} }}", text(name), text(arguments)));
    format!("[[reply]]\ncalls = [{}]\n", calls.collect::<Vec<_>>().join(", "))
}

/// A reply with text alone.
pub(crate) fn says(answer: &str) -> String {
    format!("[[reply]]\ntext = {}\n", text(answer))
}

/// One call, then an answer.
pub(crate) fn asks_once(tool: &str, arguments: &str) -> String {
    asks(&[(tool, arguments)]) + &says("done")
}

/// A text in JSON is one in TOML, too.
pub(crate) fn text(text: &str) -> String {
    Value::from(text).to_string()
}
