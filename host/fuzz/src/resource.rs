//! Keys of what a tool call touches, made of arguments that a model wrote.

use sandbar_protocol::ToolTraits;
use serde_json::{Value, json};

/// Two calls conflict whichever comes first, a call with itself, and a path with what is under it, however it is written.
pub fn resource(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (template, rest) = text.split_once('\n').unwrap_or(("file:{/path}", &text));
    let (one, other) = rest.split_once('\n').unwrap_or((rest, "other"));
    let writer = |template: &str| ToolTraits {
        resource: Some(template.to_owned()),
        touches_workspace: true,
        ..ToolTraits::default()
    };
    let input = |path: &str| json!({ "path": path, "n": path.len() });
    let conflict = |template: &str, one: &Value, other: &Value| {
        sandbar_agent::calls_conflict((&writer(template), one), (&writer(template), other))
    };
    assert!(conflict(template, &input(one), &input(one)));
    assert_eq!(
        conflict(template, &input(one), &input(other)),
        conflict(template, &input(other), &input(one))
    );
    let file = |other: &str| conflict("file:{/path}", &input(one), &input(other));
    for same in [
        format!("./{one}"),
        format!("{one}/"),
        format!("{one}/."),
        format!("//{one}"),
        one.to_lowercase(),
        one.replace('/', "//"),
    ] {
        assert!(file(&same), "{one:?} and {same:?}");
    }
    assert!(
        file(&format!("{one}/below")) && file(&format!("{one}/x/../y")),
        "{one:?} and what is under it"
    );
    assert!(file("."), "{one:?} and all");
}
