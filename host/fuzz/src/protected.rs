//! The search for protected values in what plugins and models wrote.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use sandbar_protocol::{Protected, REDACTED};
use serde_json::Value;

use crate::choices::Choices;

/// With what the forms of a value make something of.
const VALUES: [&str; 12] = [
    "abcdefgh",
    "nabcdefu0041",
    "sk-Live_91/x+Q?=2",
    "correct horse",
    "with\"quote and more",
    "\\abcdefgh\\n",
    "%41%42%2541b",
    "größer als viele",
    "🦀🦀 crab",
    "12345678",
    "aaaaaaaaaaaa",
    "QUJDREVGR0g=",
];
/// Building what searches for a value takes a hundred times as long as a search.
const MOST_KEPT: usize = 64;
/// A longer text tells nothing more, and is decoded in many ways.
const MOST_TEXT: usize = 160;

thread_local! {
    static KEPT: RefCell<HashMap<String, Rc<Protected>>> = RefCell::default();
}

/// What is found is taken out and nothing else is touched, and JSON stays JSON.
pub fn protected(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (value, rest) = match choices.byte() {
        known @ ..0xF0 => (VALUES[usize::from(known) % VALUES.len()].to_owned(), choices.rest()),
        length => {
            let rest = choices.rest();
            let (value, rest) = rest.split_at((usize::from(length) - 0xF0 + 4).min(rest.len()));
            (String::from_utf8_lossy(value).into_owned(), rest)
        }
    };
    let protected = made(&value);
    if protected.find(REDACTED.as_bytes()).is_some() {
        // Taken out, it is there again.
        return;
    }
    let (text, has_value) = spelled(rest, &value);
    let found = protected.find(&text);
    assert!(found.is_some() || !has_value || protected.is_empty());
    assert_eq!(found.is_some(), protected.redact_bytes(&text).is_some());
    let text = String::from_utf8_lossy(&text);
    let redacted = protected.redact(&text);
    assert_eq!(protected.find(text.as_bytes()).is_some(), *redacted != *text);
    assert!(*redacted == *text || redacted.contains(REDACTED));
    let settled = protected.settled(text.as_bytes());
    let (first, last) = (protected.redact(&text[..settled]), protected.redact(&text[settled..]));
    assert!(
        format!("{first}{last}").contains(REDACTED) || !redacted.contains(REDACTED),
        "cut at {settled}"
    );
    let is_plain = value.bytes().all(|byte| byte.is_ascii_alphabetic());
    if let Ok(mut json) = serde_json::from_str::<Value>(&text) {
        if is_plain && !text.contains(|c: char| c.is_ascii_digit()) {
            assert!(serde_json::from_str::<Value>(&redacted).is_ok(), "{redacted}");
        }
        let before = json.clone();
        assert_eq!(protected.redact_json(&mut json), json != before);
    }
}

fn made(value: &str) -> Rc<Protected> {
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= MOST_KEPT && !kept.contains_key(value) {
            kept.clear();
        }
        let make = || Rc::new(Protected::new([("value".to_owned(), value.to_owned())]));
        kept.entry(value.to_owned()).or_insert_with(make).clone()
    })
}

/// The text with the value for each byte below 3, in a form that must be found, and whether there is one.
fn spelled(text: &[u8], value: &str) -> (Vec<u8>, bool) {
    let with = |form: fn(u8) -> String| value.bytes().map(form).collect::<String>();
    let (mut spelled, mut has_value) = (Vec::new(), false);
    for byte in text.iter().take(MOST_TEXT) {
        let form = match byte {
            0 => value.to_owned(),
            1 => with(|byte| format!("{byte:02x}")),
            2 => with(|byte| format!("%{byte:02X}")),
            _ => {
                spelled.push(*byte);
                continue;
            }
        };
        if spelled.len() < MOST_TEXT {
            spelled.extend(form.bytes());
            has_value = true;
        }
    }
    (spelled, has_value)
}
