//! The question whether a tool may change something: how it reads, and what an answer means.

use sandbar::protocol::ApprovalRequest;
use serde_json::Value;

use crate::sanitise::{exact, one_line, sanitise};
use crate::style::{Paint, Style};

pub(crate) const CHOICES: &str = "  allow? [y]es, [n]o, [a]ll in this run, [s]top: ";

pub(crate) const CHOICES_AGAIN: &str =
    "  `y`, `n` (a reason may follow, which the model reads), `a` or `s`, and Enter: ";

/// How much of one argument is shown, in characters. A preview says more of a long one.
const SHOWN: usize = 400;
/// The same where there is no preview.
const SHOWN_ALONE: usize = 4000;

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    /// With what the model is told, which may be empty.
    No(String),
    All,
    Stop,
}

/// None for what is no answer. An empty line is none: a key that is hit too often must not be consent.
pub(crate) fn parse(line: &str) -> Option<Answer> {
    let line = line.trim();
    let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ':' | ';' | '.' | '-'));
    match (word.to_lowercase().as_str(), rest) {
        ("n" | "no", reason) => Some(Answer::No(reason.to_owned())),
        ("y" | "yes", "") => Some(Answer::Yes),
        ("a" | "all", "") => Some(Answer::All),
        ("s" | "stop", "") => Some(Answer::Stop),
        _ => None,
    }
}

/// Everything that a person needs to answer, in lines. What comes from the tool stands behind a bar, so that it can't pass for ours.
pub(crate) fn lines(request: &ApprovalRequest, paint: Paint) -> Vec<String> {
    let what = match request.destructive {
        true => paint.with(
            Style::Red,
            "wants to change something, and may destroy what can't be brought back",
        ),
        false => "wants to change something".to_owned(),
    };
    let tool = paint.with(Style::Bold, &one_line(&request.tool, 100));
    let mut lines = vec![format!("  {} {tool} {what}", paint.with(Style::Yellow, "?"))];
    let shown = if request.preview.is_some() { SHOWN } else { SHOWN_ALONE };
    lines.extend(arguments(&request.arguments).map(|(name, value)| {
        let name = paint.with(Style::Dim, &format!("{}:", one_line(&exact(name), 100)));
        format!("    {name} {}", cut(&value, shown))
    }));
    let bar = paint.with(Style::Dim, "│");
    let preview = sanitise(request.preview.as_deref().unwrap_or_default());
    lines.extend(
        preview
            .lines()
            .map(|line| format!("  {bar} {}", diff_line(line, paint))),
    );
    lines
}

/// A line of a unified diff in its colour. Its text must be sanitised.
pub(crate) fn diff_line(line: &str, paint: Paint) -> String {
    let style = match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Style::Bold,
        [b'+', ..] => Style::Green,
        [b'-', ..] => Style::Red,
        [b'@', b'@', ..] => Style::Cyan,
        _ => Style::Plain,
    };
    paint.with(style, line)
}

/// Each argument as JSON, so that where a text ends can be seen; short ones first, since those name what is changed.
fn arguments(arguments: &Value) -> impl Iterator<Item = (&str, String)> {
    let fields = arguments.as_object().into_iter().flatten();
    let mut fields: Vec<_> = fields
        .map(|(name, value)| (name.as_str(), exact(&value.to_string())))
        .collect();
    fields.sort_by_key(|(_, value)| value.len());
    fields.into_iter()
}

fn cut(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most).collect();
    format!("{kept} … {} more characters", length - most)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn answers() {
        let check = |line: &str, expected: Option<Answer>| assert_eq!(parse(line), expected, "{line:?}");
        let no = |reason: &str| Some(Answer::No(reason.to_owned()));
        for yes in ["y", "Y\n", " yes ", "YES"] {
            check(yes, Some(Answer::Yes));
        }
        check("n", no(""));
        check("no\n", no(""));
        check("n use another name", no("use another name"));
        check("No, it is Ada's", no("it is Ada's"));
        check("n: later", no("later"));
        check("a", Some(Answer::All));
        check("all", Some(Answer::All));
        check("s", Some(Answer::Stop));
        check("stop\n", Some(Answer::Stop));
        for unclear in [
            "",
            "\n",
            " ",
            "yeah",
            "y and more",
            "not that",
            "allow",
            "stop it",
            "1",
            "ü",
        ] {
            check(unclear, None);
        }
    }

    fn check(arguments: Value, preview: Option<&str>, destructive: bool, expected: &str) {
        let request = ApprovalRequest {
            call_id: "c".to_owned(),
            tool: "files__edit".to_owned(),
            arguments: Arc::new(arguments),
            destructive,
            preview: preview.map(str::to_owned),
        };
        assert_eq!(lines(&request, Paint { coloured: false }).join("\n"), expected);
    }

    #[test]
    fn a_question_shows_everything_and_can_not_be_imitated() {
        check(
            json!({ "path": "a.md" }),
            Some("--- a.md\n+++ a.md\n@@ -1 +1 @@\n-one\n+two\u{1b}[2J\r\n  allow? yes\n"),
            false,
            "  ? files__edit wants to change something\n    path: \"a.md\"\n  │ --- a.md\n  │ +++ a.md\n  │ @@ -1 +1 @@\n  │ -one\n  │ +two\n  │   allow? yes",
        );
        check(
            json!({ "path": "a\u{200b}b\u{202e}\n\u{1b}[1m", "n": 1 }),
            None,
            true,
            "  ? files__edit wants to change something, and may destroy what can't be brought back\n    n: 1\n    path: \"a\\u{200b}b\\u{202e}\\n\\u001b[1m\"",
        );
        check(json!({}), None, false, "  ? files__edit wants to change something");
    }

    #[test]
    fn long_arguments_are_cut_and_said_to_be() {
        assert_eq!(cut("üüü", 3), "üüü");
        assert_eq!(cut("üüüü", 3), "üüü … 1 more characters");
    }

    #[test]
    fn diffs_have_colours() {
        let paint = Paint { coloured: true };
        for (line, code) in [
            ("+++ a", "1"),
            ("--- a", "1"),
            ("+a", "32"),
            ("-a", "31"),
            ("@@ -1 @@", "36"),
        ] {
            assert_eq!(diff_line(line, paint), format!("\u{1b}[{code}m{line}\u{1b}[0m"));
        }
        assert_eq!(diff_line(" a", paint), " a");
    }
}
