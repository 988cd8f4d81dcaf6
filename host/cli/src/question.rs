//! A question to a person: how it reads.

use sandbar::protocol::policy::Origin;
use sandbar::protocol::{SuspendedCall, Suspension, SuspensionKind};
use serde_json::Value;

use crate::answer::{numbered, shown};
use crate::sanitise::{exact, one_line, sanitise};
use crate::style::{Paint, Style};

/// How much of one argument is shown, in characters. A preview says more of a long one.
const SHOWN: usize = 400;
/// The same where there is no preview.
const SHOWN_ALONE: usize = 4000;
/// How many arguments are shown, and how many lines of what a plugin says: more would push the question itself off the screen.
const MOST_ARGUMENTS: usize = 40;
const MOST_LINES: usize = 200;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What is asked, in lines. What comes from a plugin stands behind a bar, so that it can't pass for ours.
pub(crate) fn lines(suspension: &Suspension, now_ms: u64, paint: Paint) -> Vec<String> {
    let mark = paint.with(Style::Yellow, "?");
    let bar = paint.with(Style::Dim, "│");
    let tool = suspension.call.as_ref().map_or("a tool", |call| call.tool.as_str());
    let tool = paint.with(Style::Bold, &cut(&exact(tool), 100));
    let mut lines = vec![match suspension.kind {
        SuspensionKind::Approval => format!("  {mark} {tool} {}", permission(suspension.call.as_ref(), paint)),
        SuspensionKind::Question => format!("  {mark} the agent asks"),
        SuspensionKind::UnknownOutcome => format!("  {mark} {tool} was cut off: did it happen?"),
        SuspensionKind::Budget => format!("  {mark} the run has used up a limit"),
        SuspensionKind::SignIn => format!("  {mark} a tool needs you to sign in"),
    }];
    if let Some(call) = &suspension.call {
        if call.origin == Origin::Plugin {
            lines.push("    the pattern wants it on its own: no model has asked for it".to_owned());
        }
        lines.extend(call_lines(call, paint));
        lines.extend(power_lines(call, paint));
    }
    let said = match (suspension.kind, &suspension.call) {
        (SuspensionKind::Approval, Some(call)) => said(call.preview.as_deref().unwrap_or_default(), exact_but_tabs),
        _ => said(&suspension.question, |line| sanitise(line).into_owned()),
    };
    lines.extend(said.iter().map(|line| format!("  {bar} {}", diff_line(line, paint))));
    if let (SuspensionKind::Question, Some(choices)) = (suspension.kind, numbered(&suspension.schema)) {
        let numbers = choices.iter().enumerate();
        lines.extend(numbers.map(|(n, choice)| format!("    {}. {}", n + 1, shown(choice))));
    }
    lines.extend(expiry(suspension, now_ms).map(|expiry| format!("    {}", paint.with(Style::Yellow, &expiry))));
    lines
}

/// What each choice allows afterwards, where that is more than what it says.
pub(crate) fn consequences(suspension: &Suspension) -> Option<String> {
    let tool = one_line(&suspension.call.as_ref()?.tool, 100);
    (suspension.kind == SuspensionKind::Approval).then(|| {
        format!(
            "yes: this call · session: every call of {tool} in this session · always: every call of it in this workspace, until \
             `sandbar grants revoke`"
        )
    })
}

/// What can be typed; the cursor stays behind it.
pub(crate) fn prompt(suspension: &Suspension) -> &'static str {
    match suspension.kind {
        SuspensionKind::Approval => "  allow? [y]es once, [s]ession, always, [n]o with a reason, [q]uit: ",
        SuspensionKind::UnknownOutcome => "  retry, skip, result and what it was, or [q]uit: ",
        SuspensionKind::Budget => "  extend (by how many), stop, or [q]uit: ",
        SuspensionKind::SignIn => "  done, cancel, or [q]uit: ",
        SuspensionKind::Question if numbered(&suspension.schema).is_some() => "  which? ",
        SuspensionKind::Question if suspension.schema["type"] == "string" => "  answer: ",
        SuspensionKind::Question => "  answer (JSON): ",
    }
}

/// `expires in 3 h`, where that is less than a day away.
pub(crate) fn expiry(suspension: &Suspension, now_ms: u64) -> Option<String> {
    let left = suspension.expires_ms.saturating_sub(now_ms);
    match left {
        0 => Some("expired".to_owned()),
        1..DAY_MS => Some(format!("expires in {}", span(left))),
        _ => None,
    }
}

/// A time to come, in its largest unit.
pub(crate) fn span(ms: u64) -> String {
    match ms / 60_000 {
        0 => format!("{} s", ms.div_ceil(1000)),
        minutes @ 1..60 => format!("{minutes} min"),
        minutes @ 60..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
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

fn permission(call: Option<&SuspendedCall>, paint: Paint) -> String {
    match call.is_some_and(|call| call.destructive) {
        true => paint.with(
            Style::Red,
            "asks for permission, and may destroy what can't be brought back",
        ),
        false => "asks for permission".to_owned(),
    }
}

fn call_lines(call: &SuspendedCall, paint: Paint) -> Vec<String> {
    let most = if call.preview.is_some() { SHOWN } else { SHOWN_ALONE };
    let Some(fields) = call.arguments.as_object() else {
        let text = call
            .arguments
            .as_str()
            .map_or_else(|| call.arguments.to_string(), str::to_owned);
        return vec![format!("    {}", cut(&exact(&text), most))];
    };
    // Each as JSON, so that where a text ends can be seen; short ones first, since those name what is changed.
    let mut fields: Vec<(&String, String)> = fields
        .iter()
        .map(|(name, value): (_, &Value)| (name, exact(&value.to_string())))
        .collect();
    fields.sort_by_key(|(_, value)| value.len());
    let more = fields.len().saturating_sub(MOST_ARGUMENTS);
    fields.truncate(MOST_ARGUMENTS);
    let line = |(name, value): (&String, String)| {
        let name = paint.with(Style::Dim, &format!("{}:", cut(&exact(name), 100)));
        format!("    {name} {}", cut(&value, most))
    };
    let more = (more > 0).then(|| format!("    … {more} more arguments"));
    fields.into_iter().map(line).chain(more).collect()
}

/// What the call could do, in the host's words.
fn power_lines(call: &SuspendedCall, paint: Paint) -> impl Iterator<Item = String> {
    let line = move |power: &String| format!("    {} {}", paint.with(Style::Dim, "it can"), cut(&exact(power), SHOWN));
    call.powers.iter().map(line)
}

/// What a plugin says, line by line.
fn said(text: &str, clean: impl Fn(&str) -> String) -> Vec<String> {
    let more = text.lines().count().saturating_sub(MOST_LINES);
    let lines = text.lines().take(MOST_LINES).map(|line| cut(&clean(line), SHOWN_ALONE));
    let more = (more > 0).then(|| format!("… {more} more lines"));
    lines.chain(more).collect()
}

/// For what a person decides on. Files have tabs, which hide nothing.
fn exact_but_tabs(line: &str) -> String {
    line.split('\t').map(exact).collect::<Vec<_>>().join("\t")
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
    use serde_json::json;

    use super::*;
    use crate::answer::tests::suspension;

    const PLAIN: Paint = Paint { coloured: false };

    fn check(arguments: Value, preview: Option<&str>, destructive: bool, expected: &str) {
        let call = SuspendedCall {
            call_id: "c".to_owned(),
            origin: Origin::Model,
            tool: "files__edit".to_owned(),
            arguments,
            powers: Vec::new(),
            authority: None,
            destructive,
            preview: preview.map(str::to_owned),
        };
        let approval = Suspension {
            call: Some(call),
            ..suspension(SuspensionKind::Approval)
        };
        assert_eq!(lines(&approval, 0, PLAIN).join("\n"), expected);
    }

    #[test]
    fn a_question_shows_everything_and_can_not_be_imitated() {
        check(
            json!({ "path": "a.md" }),
            Some("--- a.md\n+++ a.md\n@@ -1 +1 @@\n-one\n+two\u{1b}[2J\r\n  allow? yes\n"),
            false,
            "  ? files__edit asks for permission\n    path: \"a.md\"\n  │ --- a.md\n  │ +++ a.md\n  │ @@ -1 +1 @@\n  │ -one\n  │ +two\\u{1b}[2J\n  │   allow? yes",
        );
        check(
            json!({ "path": "a\u{200b}b\u{202e}\n\u{1b}[1m", "n": 1 }),
            None,
            true,
            "  ? files__edit asks for permission, and may destroy what can't be brought back\n    n: 1\n    path: \"a\\u{200b}b\\u{202e}\\n\\u001b[1m\"",
        );
        check(json!({}), None, false, "  ? files__edit asks for permission");
        check(
            json!("not\njson"),
            None,
            false,
            "  ? files__edit asks for permission\n    not\\njson",
        );
    }

    /// A name, an argument, a power or a preview that would pass for the host's own words, or hide some of them.
    #[test]
    fn what_is_decided_on_is_shown_as_it_is() {
        let check = |tool: &str, powers: &[&str], arguments: Value, preview: Option<&str>, expected: &str| {
            let call = SuspendedCall {
                call_id: "c".to_owned(),
                origin: Origin::Model,
                tool: tool.to_owned(),
                arguments,
                powers: powers.iter().map(|power| (*power).to_owned()).collect(),
                authority: None,
                destructive: false,
                preview: preview.map(str::to_owned),
            };
            let approval = Suspension {
                call: Some(call),
                ..suspension(SuspensionKind::Approval)
            };
            assert_eq!(lines(&approval, 0, PLAIN).join("\n"), expected);
        };
        check(
            "mail__send",
            &[
                "read and write the files of /home/ada/a\nb",
                "send POST requests to https://api.example.com/v1/",
            ],
            json!({ "to": "eve@example.com" }),
            None,
            "  ? mail__send asks for permission\n    to: \"eve@example.com\"\n    \
             it can read and write the files of /home/ada/a\\nb\n    \
             it can send POST requests to https://api.example.com/v1/",
        );
        // Bidi, line breaks, escape sequences and letters of no width: in the name of a tool, of an argument, and in its value.
        check(
            "files\u{202e}__etirw\n  allow? yes\u{1b}[2J",
            &["reach nothing outside its sandbox"],
            json!({ "it can\u{200b}\nread nothing": "a\u{2066}b\u{1b}]0;t\u{7}" }),
            Some("+x\u{200b}y\u{202e}z\tw\r\n\u{1b}[1A\u{1b}[2K  ? files__read asks\n"),
            "  ? files\\u{202e}__etirw\\n  allow? yes\\u{1b}[2J asks for permission\n    \
             it can\\u{200b}\\nread nothing: \"a\\u{2066}b\\u001b]0;t\\u0007\"\n    \
             it can reach nothing outside its sandbox\n  \
             │ +x\\u{200b}y\\u{202e}z\tw\n  \
             │ \\u{1b}[1A\\u{1b}[2K  ? files__read asks",
        );
    }

    #[test]
    fn what_is_long_is_cut_and_says_by_how_much() {
        let fields: serde_json::Map<String, Value> = (0..45).map(|n| (format!("a{n:02}"), json!(n))).collect();
        let call = SuspendedCall {
            call_id: "c".to_owned(),
            origin: Origin::Model,
            tool: "t".repeat(130),
            arguments: Value::Object(fields),
            powers: Vec::new(),
            authority: None,
            destructive: false,
            preview: Some("line\n".repeat(203)),
        };
        let approval = Suspension {
            call: Some(call),
            ..suspension(SuspensionKind::Approval)
        };
        let shown = lines(&approval, 0, PLAIN);
        assert_eq!(shown.len(), 1 + MOST_ARGUMENTS + 1 + MOST_LINES + 1);
        assert_eq!(
            shown[0],
            format!("  ? {} … 30 more characters asks for permission", "t".repeat(100))
        );
        assert_eq!(shown[1 + MOST_ARGUMENTS], "    … 5 more arguments");
        assert_eq!(shown.last().unwrap(), "  │ … 3 more lines");
    }

    #[test]
    fn each_kind_reads_as_what_it_is() {
        let check = |kind: SuspensionKind, schema: Value, expected: &str| {
            let asked = Suspension {
                question: "which\u{1b}[2J\ncolour?".to_owned(),
                schema,
                ..suspension(kind)
            };
            let shown = format!("{}\n{}", lines(&asked, 0, PLAIN).join("\n"), prompt(&asked));
            assert_eq!(shown, expected);
        };
        let asked = "  ? the agent asks\n  │ which\n  │ colour?\n";
        let question = SuspensionKind::Question;
        let choices = format!("{asked}    1. red\n    2. a b\n  which? ");
        check(question, json!({ "enum": ["red", "a\nb"] }), &choices);
        check(question, json!({ "type": "string" }), &format!("{asked}  answer: "));
        check(question, json!({}), &format!("{asked}  answer (JSON): "));
        check(
            SuspensionKind::Budget,
            json!({}),
            "  ? the run has used up a limit\n  │ which\n  │ colour?\n  extend (by how many), stop, or [q]uit: ",
        );
        check(
            SuspensionKind::SignIn,
            json!({}),
            "  ? a tool needs you to sign in\n  │ which\n  │ colour?\n  done, cancel, or [q]uit: ",
        );
    }

    #[test]
    fn expiry_is_told_when_it_is_near() {
        let check = |expires_ms: u64, expected: Option<&str>| {
            let asked = Suspension {
                expires_ms,
                ..suspension(SuspensionKind::Question)
            };
            assert_eq!(expiry(&asked, 1000).as_deref(), expected);
        };
        check(1000, Some("expired"));
        check(3500, Some("expires in 3 s"));
        check(1000 + 90 * 60_000, Some("expires in 1 h"));
        check(1000 + DAY_MS, None);
        assert_eq!(span(3 * DAY_MS), "3 days");
        assert_eq!(span(59 * 60_000), "59 min");
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
