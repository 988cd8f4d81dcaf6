//! Events as lines for people, and the numbers in them.

use sandbar::protocol::{
    DelegateOutcome, Denial, Error, EventBody, MemoryOp, MemoryOutcome, RunResult, StopReason, ToolOutcome, ToolOutput,
    utc,
};

use serde_json::Value;

use crate::answer::shown;
use crate::sanitise::{one_line, sanitise};
use crate::style::{Paint, Style};

/// How much of a call's arguments, or of an error, a line shows, in characters.
const SHOWN: usize = 100;
/// How much of the sentence that says what was refused: a whole address should fit.
const REASON_SHOWN: usize = 400;

/// The code of a call's error whose plugin isn't called any more: why, and how it is brought back, is for a person to read.
const PUT_ASIDE: &str = "plugin-put-aside";

/// What an event looks like; none for those that are shown otherwise (the model's text), or that say nothing to a person.
pub(crate) fn event_line(body: &EventBody, paint: Paint) -> Option<String> {
    let dim = |text: &str| paint.with(Style::Dim, text);
    let failed = |name: &str, error: &Error| {
        format!(
            "  {} {name}  {}",
            paint.with(Style::Red, "✗"),
            one_line(
                &reason(error),
                if error.code == PUT_ASIDE { REASON_SHOWN } else { SHOWN }
            )
        )
    };
    Some(match body {
        EventBody::ToolStarted { name, arguments, .. } => {
            format!(
                "  {} {} {}",
                paint.with(Style::Cyan, "▸"),
                one_line(name, SHOWN),
                dim(&one_line(arguments, SHOWN))
            )
        }
        EventBody::ToolFinished {
            name,
            outcome: ToolOutcome::Output(output),
            denials,
            ms,
            ..
        } => {
            let (name, facts) = (
                one_line(name, SHOWN),
                format!("{}  {}", duration(*ms), size(output.text.len())),
            );
            format!(
                "  {} {name}  {}{}{}",
                paint.with(Style::Green, "✓"),
                dim(&facts),
                for_user(output),
                for_operator(denials, paint)
            )
        }
        EventBody::ToolFinished {
            name,
            outcome: ToolOutcome::Error(error),
            denials,
            ..
        } => failed(&one_line(name, SHOWN), error) + &hint(error, paint) + &for_operator(denials, paint),
        EventBody::MemoryFinished {
            plugin, op, outcome, ..
        } => memory_line(plugin, *op, outcome, paint)?,
        EventBody::ModelDiscarded { error, .. } => failed("model", error),
        EventBody::DelegateStarted { agent, task, .. } => {
            let (mark, agent) = (paint.with(Style::Cyan, "▸"), one_line(agent, SHOWN));
            format!("  {mark} task for {agent}  {}", dim(&one_line(task, SHOWN)))
        }
        EventBody::DelegateFinished {
            agent,
            outcome: DelegateOutcome::Text(text),
            ms,
            ..
        } => {
            let (mark, agent) = (paint.with(Style::Green, "✓"), one_line(agent, SHOWN));
            format!(
                "  {mark} {agent}  {}",
                dim(&format!("{}  {}", duration(*ms), size(text.len())))
            )
        }
        EventBody::DelegateFinished {
            agent,
            outcome: DelegateOutcome::Error(error),
            ..
        } => failed(&one_line(agent, SHOWN), error),
        EventBody::ModelFinished { thread, reply, .. } if thread != "main" => {
            let text = one_line(&reply.message.text, SHOWN);
            format!("  {} {}: {text}", paint.with(Style::Cyan, "·"), one_line(thread, SHOWN))
        }
        other => return news_line(other, paint),
    })
}

/// The same for what is no call.
fn news_line(body: &EventBody, paint: Paint) -> Option<String> {
    let dim = |text: &str| paint.with(Style::Dim, text);
    Some(match body {
        EventBody::Artifact(artifact) => {
            let facts = format!(
                "{}  {}",
                one_line(&artifact.media_type, SHOWN),
                size(artifact.content.len())
            );
            format!(
                "  {} {}  {}",
                paint.with(Style::Green, "+"),
                one_line(&artifact.name, SHOWN),
                dim(&facts)
            )
        }
        EventBody::ReplyDiscarded { reason, .. } => {
            format!(
                "  {} the reply was taken back: {}",
                paint.with(Style::Yellow, "!"),
                one_line(reason, SHOWN)
            )
        }
        EventBody::ModelRetried { error, wait_ms, .. } => {
            let again = match wait_ms {
                0 => "asked again".to_owned(),
                wait => format!("asked again in {}", duration(*wait)),
            };
            dim(&format!("  · model {again}  {}", one_line(&reason(error), SHOWN)))
        }
        EventBody::Unsupported { message, .. } => {
            format!("  {} {}", paint.with(Style::Yellow, "!"), one_line(message, SHOWN))
        }
        EventBody::ValidationRetry { problem, .. } => {
            let problem = one_line(problem, SHOWN);
            format!(
                "  {} the reply does not fit, asked again: {problem}",
                paint.with(Style::Yellow, "!")
            )
        }
        EventBody::Suspended(suspension) => {
            let (mark, kind) = (paint.with(Style::Yellow, "?"), suspension.kind.as_str());
            let question = one_line(&suspension.question, SHOWN);
            format!(
                "  {mark} waits for an answer: {kind} {}  {}",
                suspension.id,
                dim(&question)
            )
        }
        EventBody::Resumed { suspension, answer, by } => {
            format!(
                "  {} {}",
                paint.with(Style::Cyan, "▸"),
                resumed(suspension.is_some(), answer.as_ref(), by.as_deref())
            )
        }
        EventBody::Custom { name, json } => {
            let (mark, name) = (paint.with(Style::Cyan, "·"), one_line(name, SHOWN));
            format!("  {mark} {name}  {}", dim(&one_line(&json.to_string(), SHOWN)))
        }
        _ => return None,
    })
}

/// None where nothing was recalled.
fn memory_line(plugin: &str, op: MemoryOp, outcome: &MemoryOutcome, paint: Paint) -> Option<String> {
    let what = format!("memory {}: {}", one_line(plugin, SHOWN), op.as_str());
    match outcome {
        MemoryOutcome::Error(error) => {
            let reason = one_line(&reason(error), SHOWN);
            Some(format!("  {} {what} failed  {reason}", paint.with(Style::Yellow, "!")))
        }
        MemoryOutcome::Output(output) if op == MemoryOp::Recall => match output.entries.len() {
            0 => None,
            1 => Some(paint.with(Style::Dim, &format!("  · {what}  1 entry"))),
            n => Some(paint.with(Style::Dim, &format!("  · {what}  {n} entries"))),
        },
        MemoryOutcome::Output(_) => Some(paint.with(Style::Dim, &format!("  · {what}"))),
    }
}

/// Why a run goes on.
fn resumed(was_asked: bool, answer: Option<&Value>, by: Option<&str>) -> String {
    match answer {
        Some(answer) => {
            let value = shown(answer.get("decision").unwrap_or(answer));
            let by = one_line(by.unwrap_or("somebody"), SHOWN);
            format!("answered by {by}: {}", one_line(&value, SHOWN))
        }
        None if was_asked => "goes on without an answer".to_owned(),
        None => "goes on; the process that had it ended".to_owned(),
    }
}

/// How a run ended and what it took, without its error.
pub(crate) fn summary(result: &RunResult, paint: Paint) -> String {
    let style = match result.stop_reason {
        StopReason::Finished => Style::Green,
        StopReason::Suspended => Style::Yellow,
        _ => Style::Red,
    };
    let mut facts = vec![
        count(result.steps.into(), "step"),
        count(result.tool_calls.into(), "tool call"),
        count(result.model_calls.into(), "model call"),
    ];
    let tokens = [(result.usage.input_tokens, "in"), (result.usage.output_tokens, "out")];
    facts.extend(
        tokens
            .iter()
            .filter_map(|(tokens, way)| Some(format!("{} {way}", count((*tokens)?, "token")))),
    );
    facts.push(duration(result.wall_ms));
    let ended = paint.with(style, stop_reason(result.stop_reason));
    format!(
        "{ended} {}",
        paint.with(Style::Dim, &format!("· {}", facts.join(" · ")))
    )
}

pub(crate) fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Finished => "finished",
        StopReason::MaxSteps => "out of steps",
        StopReason::MaxToolCalls => "out of tool calls",
        StopReason::Timeout => "out of time",
        StopReason::Cancelled => "cancelled",
        StopReason::ModelFailed => "model failed",
        StopReason::PatternFailed => "pattern failed",
        StopReason::Expired => "not answered in time",
        StopReason::Suspended => "waiting for an answer",
        StopReason::HostFailed => "host failed",
    }
}

/// An error in a few words: code, then message.
pub(crate) fn reason(error: &Error) -> String {
    format!("{}: {}", error.code, error.message)
}

pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{}.{} KB", bytes / 1000, bytes % 1000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// `2026-01-31 09:05`, in UTC.
pub(crate) fn moment(ms: u64) -> String {
    // Without the seconds and the letter of the time zone.
    let mut text = utc(ms).replace('T', " ");
    text.truncate(text.len().saturating_sub(":00Z".len()));
    text
}

/// What a person can do where nobody else can.
fn hint(error: &Error, paint: Paint) -> String {
    let hint = error.hint.as_deref().filter(|_| error.code == PUT_ASIDE);
    let told = hint.map(|hint| paint.with(Style::Dim, &format!("hint: {}", one_line(hint, REASON_SHOWN))));
    told.map_or_else(String::new, |told| format!("\n    {told}"))
}

/// What the plugin was refused, and the lines of the configuration that would allow it.
fn for_operator(denials: &[Denial], paint: Paint) -> String {
    let told = denials.iter().map(|denial| {
        let mend = denial.mend.as_deref().map(sanitise).unwrap_or_default();
        let mend: String = mend.lines().map(|line| format!("\n      {line}")).collect();
        format!(
            "\n    {} {}{}",
            paint.with(Style::Yellow, "refused:"),
            one_line(&denial.reason, REASON_SHOWN),
            paint.with(Style::Dim, &mend)
        )
    });
    told.collect()
}

/// What a tool has for the person who watches, on lines of its own.
fn for_user(output: &ToolOutput) -> String {
    let lines = output.user_text.as_deref().map(sanitise).unwrap_or_default();
    lines.lines().map(|line| format!("\n    {line}")).collect()
}

#[cfg(test)]
mod tests {
    use sandbar::protocol::{ErrorKind, RunId, SessionId, Usage};
    use serde_json::json;

    use super::*;

    const PLAIN: Paint = Paint { coloured: false };

    fn check(event: Value, expected: Option<&str>) {
        let body: EventBody = serde_json::from_value(event).unwrap();
        assert!(!matches!(body, EventBody::Unknown(_)), "{body:?}");
        assert_eq!(event_line(&body, PLAIN).as_deref(), expected);
    }

    fn tool_started(name: &str, arguments: &str) -> Value {
        json!({ "type": "tool.started", "effect": "r.1", "ordinal": 1, "call_id": "c", "thread": "main", "name": name,
            "arguments": arguments, "argument_digest": "", "idempotency_key": "", "idempotent": true })
    }

    fn tool_finished(outcome: &Value) -> Value {
        let mut event = json!({ "type": "tool.finished", "effect": "r.1", "call_id": "c", "thread": "main",
            "name": "files__read", "ms": 12 });
        event
            .as_object_mut()
            .unwrap()
            .extend(outcome.as_object().unwrap().clone());
        event
    }

    #[test]
    fn tools() {
        check(
            tool_started("files__search", r#"{"pattern":"durab"}"#),
            Some(r#"  ▸ files__search {"pattern":"durab"}"#),
        );
        check(tool_started("x\u{1b}[2J", "a\nb\u{202e}"), Some("  ▸ x a b\u{fffd}"));
        let long = format!("  ▸ t {}…", "x".repeat(99));
        check(tool_started("t", &"x".repeat(200)), Some(&long));
        check(
            tool_finished(&json!({ "output": { "text": "x".repeat(1300) } })),
            Some("  ✓ files__read  12 ms  1.3 KB"),
        );
        check(
            tool_finished(&json!({ "output": { "text": "", "user_text": "a\nb\u{7}" } })),
            Some("  ✓ files__read  12 ms  0 B\n    a\n    b\u{fffd}"),
        );
        check(
            tool_finished(&json!({ "error": { "code": "not-found", "kind": "plugin", "message": "there is no `x`" } })),
            Some("  ✗ files__read  not-found: there is no `x`"),
        );
        let denials = json!([{ "reason": "the plugin `a` may not", "mend": "# sandbar.toml\n[grants.a]" }, { "reason": "nor\nthis" }]);
        check(
            tool_finished(
                &json!({ "error": { "code": "denied", "kind": "plugin", "message": "no" }, "denials": denials }),
            ),
            Some(
                "  ✗ files__read  denied: no\n    refused: the plugin `a` may not\n      # sandbar.toml\n      [grants.a]\n    refused: nor this",
            ),
        );
    }

    #[test]
    fn others() {
        let reply = json!({ "message": { "role": "assistant", "text": "first\nthis" }, "finish_reason": "stop" });
        let finished =
            |thread| json!({ "type": "model.finished", "effect": "r.1", "thread": thread, "ms": 1, "reply": reply });
        check(finished("main"), None);
        check(finished("plan"), Some("  · plan: first this"));
        let error = json!({ "code": "model-cut-off", "kind": "model", "message": "cut" });
        let discarded = json!({ "type": "model.discarded", "effect": "r.1", "error": error, "ms": 1 });
        check(discarded, Some("  ✗ model  model-cut-off: cut"));
        let busy = json!({ "code": "model-rate-limited", "kind": "model", "message": "slow\u{1b}[2J down" });
        let retried = |wait_ms| json!({ "type": "model.retried", "effect": "r.1", "request": 1, "error": busy, "wait_ms": wait_ms });
        check(
            retried(1500),
            Some("  · model asked again in 1.5 s  model-rate-limited: slow down"),
        );
        check(retried(0), Some("  · model asked again  model-rate-limited: slow down"));
        let artifact = json!({ "type": "artifact", "name": "a.md", "media_type": "text/markdown",
            "content": { "text": "abc" } });
        check(artifact, Some("  + a.md  text/markdown  3 B"));
        check(
            json!({ "type": "reply.discarded", "id": "m", "reason": "wrong" }),
            Some("  ! the reply was taken back: wrong"),
        );
        check(
            json!({ "type": "unsupported", "id": "u", "message": "no" }),
            Some("  ! no"),
        );
        check(json!({ "type": "step.decided", "step": 1, "actions": [] }), None);
        check(
            json!({ "type": "run.started", "agent": "a", "message": "m", "workspace": null }),
            None,
        );
    }

    #[test]
    fn delegations() {
        let started = json!({ "type": "delegate.started", "effect": "r.1", "ordinal": 1, "agent": "reader\u{1b}[2J",
            "task": "read\nit", "child": { "session": "s-2", "run": "r-2" } });
        check(started, Some("  ▸ task for reader  read it"));
        let finished = |name: &str, outcome: Value| {
            json!({ "type": "delegate.finished", "effect": "r.1", "agent": "reader", name: outcome, "tool_calls": 0,
                "model_calls": 1, "usage": {}, "ms": 1200 })
        };
        check(finished("text", json!("done")), Some("  ✓ reader  1.2 s  4 B"));
        let error = json!({ "code": "max-steps", "kind": "limit", "message": "no answer" });
        check(finished("error", error), Some("  ✗ reader  max-steps: no answer"));
    }

    #[test]
    fn waiting_and_going_on() {
        let question = json!({ "type": "suspended", "id": "q-1", "kind": "approval", "question": "may\nit?", "schema": {},
            "expires_ms": 1, "answered_by": "operator" });
        check(question, Some("  ? waits for an answer: approval q-1  may it?"));
        let answer =
            json!({ "type": "resumed", "suspension": "q-1", "answer": { "decision": "once" }, "by": "ada\u{1b}[2J" });
        check(answer, Some("  ▸ answered by ada: once"));
        let text = json!({ "type": "resumed", "suspension": "q-1", "answer": "blue", "by": "ada" });
        check(text, Some("  ▸ answered by ada: blue"));
        check(
            json!({ "type": "resumed" }),
            Some("  ▸ goes on; the process that had it ended"),
        );
        check(
            json!({ "type": "validation.retry", "id": "m", "thread": "main", "problem": "`/a`: wrong" }),
            Some("  ! the reply does not fit, asked again: `/a`: wrong"),
        );
        check(
            json!({ "type": "custom", "name": "plan", "json": { "steps": 2 } }),
            Some("  · plan  {\"steps\":2}"),
        );
    }

    #[test]
    fn summaries() {
        let mut result = RunResult {
            session: SessionId::from_entropy(1),
            run: RunId::from_entropy(1),
            stop_reason: StopReason::Finished,
            finish_reason: None,
            text: String::new(),
            error: None,
            steps: 3,
            tool_calls: 1,
            model_calls: 2,
            usage: Usage::default(),
            wall_ms: 1234,
        };
        assert_eq!(
            summary(&result, PLAIN),
            "finished · 3 steps · 1 tool call · 2 model calls · 1.2 s"
        );
        result.usage = Usage {
            input_tokens: Some(10),
            output_tokens: Some(1),
            ..Usage::default()
        };
        result.stop_reason = StopReason::Timeout;
        let expected = "out of time · 3 steps · 1 tool call · 2 model calls · 10 tokens in · 1 token out · 1.2 s";
        assert_eq!(summary(&result, PLAIN), expected);
        let error = Error::new(ErrorKind::Limit, "cpu-limit", "stopped");
        assert_eq!(reason(&error), "cpu-limit: stopped");
    }

    #[test]
    fn numbers() {
        for (ms, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1234, "1.2 s"),
            (59_999, "59.9 s"),
            (61_000, "1 min 1 s"),
        ] {
            assert_eq!(duration(ms), expected);
        }
        for (bytes, expected) in [(0, "0 B"), (999, "999 B"), (1300, "1.3 KB"), (2_560_000, "2.5 MB")] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn moments() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_799, "2000-02-29 23:59"),
            (1_769_850_300, "2026-01-31 09:05"),
            (1_798_761_599, "2026-12-31 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(moment(seconds * 1000), expected);
        }
    }
}
