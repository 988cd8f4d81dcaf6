//! Steps of a pattern as lines: what it saw, and what it decided.

use sandbar::protocol::{Action, Change, Message, Role, ToolRequest};

use crate::sanitise::{one_line, sanitise};

/// How much of a text a line shows, in characters.
const SHOWN: usize = 100;

pub(super) fn actions(actions: &[Action]) -> String {
    actions.iter().map(action).collect::<Vec<_>>().join("; ")
}

fn action(action: &Action) -> String {
    let cut = |text: &str| one_line(text, SHOWN);
    match action {
        Action::Model(model) => format!("model on {}{}", cut(&model.thread), appended(model.append.len())),
        Action::Tools(tools) => {
            let calls = tools.calls.iter().map(|call| match call {
                ToolRequest::Asked(id) => cut(id),
                ToolRequest::Own(own) => format!("{} {}", cut(&own.name), cut(&own.input)),
            });
            format!("tools {}", calls.collect::<Vec<_>>().join(", "))
        }
        Action::Delegate { agent, task } => format!("delegate to {}: {}", cut(agent), cut(task)),
        Action::Compact { thread } => format!("compact {}", cut(thread)),
        Action::Ask(ask) => format!("ask: {}", cut(&ask.question)),
        Action::Artifact(artifact) => format!("artifact {}", cut(&artifact.name)),
        Action::Discard { id, reason } => format!("discard {}: {}", cut(id), cut(reason)),
        Action::Emit { name, json } => format!("emit {} {}", cut(name), cut(&json.to_string())),
        Action::Finish { text, reason } => match text {
            Some(text) => format!("finish ({}): {}", cut(reason), cut(text)),
            None => format!("finish ({})", cut(reason)),
        },
    }
}

fn appended(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(", {count} appended"),
    }
}

pub(super) fn change(change: &Change) -> String {
    let cut = |text: &str| one_line(text, SHOWN);
    match change {
        Change::Reply {
            thread, text, calls, ..
        } => {
            let names: Vec<String> = calls.iter().map(|call| cut(&call.name)).collect();
            let calls = match names.is_empty() {
                true => String::new(),
                false => format!(" [{}]", names.join(", ")),
            };
            format!("reply on {}: {}{calls}", cut(thread), cut(text))
        }
        Change::ToolResult { name, failed, text, .. } => {
            let what = if *failed { "failed" } else { "result" };
            format!("{} {what}: {}", cut(name), cut(text))
        }
        Change::Note { kind, text, .. } => format!("{}: {}", cut(kind), cut(text)),
    }
}

/// A message that a model was sent, cut to one line.
pub(super) fn message_line(message: &Message) -> String {
    format!("{:<9} {}", role(message.role), one_line(&whole(message), SHOWN))
}

/// The same in full, as lines.
pub(super) fn message_lines(message: &Message) -> Vec<String> {
    let text = whole(message);
    let text = sanitise(&text);
    let mut lines = vec![role(message.role).to_owned()];
    lines.extend(text.lines().map(|line| format!("  {line}")));
    lines
}

fn whole(message: &Message) -> String {
    let calls = message
        .calls
        .iter()
        .map(|call| format!("[{} {}]", call.name, call.arguments));
    let text = (!message.text.is_empty()).then(|| message.text.clone());
    text.into_iter().chain(calls).collect::<Vec<_>>().join("\n")
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn decisions() {
        let check = |written: Value, expected: &str| {
            let action: Action = serde_json::from_value(written).unwrap();
            assert_eq!(actions(&[action]), expected);
        };
        let model = json!({ "action": "model", "thread": "main", "append": [{ "role": "user", "text": "x" }],
            "instructions": null, "tools": null, "schema": null });
        check(model, "model on main, 1 appended");
        let own = json!({ "own": { "name": "files__read", "input": "{}\u{1b}[2J" } });
        let tools = json!({ "action": "tools", "thread": "main", "calls": [{ "asked": "c1" }, own] });
        check(tools, "tools c1, files__read {}");
        check(
            json!({ "action": "ask", "question": "which\none?", "schema": {} }),
            "ask: which one?",
        );
        check(
            json!({ "action": "emit", "name": "plan", "json": { "n": 1 } }),
            "emit plan {\"n\":1}",
        );
        check(
            json!({ "action": "finish", "text": null, "reason": "done" }),
            "finish (done)",
        );
    }

    #[test]
    fn changes_and_messages() {
        let reply: Change = serde_json::from_value(
            json!({ "change": "reply", "id": "m", "thread": "main", "text": "I read.",
            "calls": [{ "id": "c", "name": "files__read", "arguments": "{}" }], "finish_reason": "tool-calls" }),
        )
        .unwrap();
        assert_eq!(change(&reply), "reply on main: I read. [files__read]");
        let result: Change = serde_json::from_value(
            json!({ "change": "tool-result", "id": "c", "name": "t", "failed": true, "text": "no\u{1b}[1m" }),
        )
        .unwrap();
        assert_eq!(change(&result), "t failed: no");
        let message = Message::new(Role::User, "two\nlines\u{1b}[2J");
        assert_eq!(message_line(&message), "user      two lines");
        assert_eq!(message_lines(&message), ["user", "  two", "  lines"]);
    }
}
