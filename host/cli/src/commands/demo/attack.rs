//! What the hostile plugins tried, and what became of it.

use sandbar::protocol::{EventBody, RunResult, StopReason, StreamItem, ToolOutcome};

use crate::lines::duration;
use crate::sanitise::one_line;
use crate::style::{Paint, Style};

/// One hostile call.
struct Attempt {
    tool: &'static str,
    /// What it tries.
    tries: &'static str,
    /// The errors that mean that the host held.
    errors: &'static [&'static str],
}

const ATTEMPTS: [Attempt; 4] = [
    Attempt {
        tool: "endless_loop__spin",
        tries: "computes for ever",
        errors: &["cpu-limit", "wall-limit"],
    },
    Attempt {
        tool: "memory_bomb__allocate",
        tries: "takes memory without end",
        errors: &["memory-limit", "cpu-limit", "plugin-trapped"],
    },
    Attempt {
        tool: "nosy__read_outside",
        tries: "reads /etc/passwd, in five ways",
        errors: &["refused"],
    },
    Attempt {
        tool: "crasher__crash",
        tries: "crashes",
        errors: &["plugin-trapped"],
    },
];

/// What is left of a line for the error, in characters, where the columns before it have taken their part.
const COLUMNS: usize = 60;
const MOST: usize = 76;
const LEAST: usize = 30;

/// The call after the attacks that must work.
const HARMLESS: (&str, &str) = ("files__list", "lists the workspace, as before");

#[derive(Debug, Default)]
pub(super) struct Attack {
    contained: Vec<String>,
    /// What was not as it must be.
    problems: Vec<String>,
    harmless_works: bool,
    pub(super) result: Option<RunResult>,
}

impl Attack {
    /// A line for a call that ended, in a terminal of that width.
    pub(super) fn see(&mut self, item: &StreamItem, width: Option<usize>, paint: Paint) -> Option<String> {
        let StreamItem::Event(event) = item else { return None };
        let EventBody::ToolFinished { name, outcome, ms, .. } = &event.body else {
            return None;
        };
        let plugin = name.split("__").next().unwrap_or_default();
        let room = width.map_or(MOST, |width| width.saturating_sub(COLUMNS).clamp(LEAST, MOST));
        let said = match outcome {
            ToolOutcome::Error(error) => one_line(told(plugin, &error.message), room),
            ToolOutcome::Output(output) => one_line(&output.text, room),
        };
        let (tried, good) = self.judge(name, outcome);
        let mark = if good {
            paint.with(Style::Green, "✓")
        } else {
            paint.with(Style::Red, "✗")
        };
        let plugin = paint.with(Style::Bold, &format!("{:13}", one_line(plugin, 40)));
        let time = paint.with(Style::Dim, &format!("{:>7}", duration(*ms)));
        Some(format!("  {mark} {plugin} {tried:31} {time}  {said}"))
    }

    /// What happened, or why the demo failed.
    pub(super) fn verdict(&self) -> Result<String, String> {
        let finished = self
            .result
            .as_ref()
            .is_some_and(|result| result.stop_reason == StopReason::Finished);
        let missing = ATTEMPTS
            .iter()
            .find(|attempt| !self.contained.iter().any(|seen| seen == attempt.tool));
        if let Some(problem) = self.problems.first() {
            return Err(problem.clone());
        }
        match (missing, self.harmless_works, finished) {
            (None, true, true) => {
                let number = ATTEMPTS.len();
                Ok(format!(
                    "{number} attacks, {number} contained, and the run went on after each."
                ))
            }
            (Some(attempt), ..) => Err(format!("`{}` did not run", attempt.tool)),
            (None, false, _) => Err(format!("`{}` did not work after the attacks", HARMLESS.0)),
            (None, true, false) => Err("the run did not finish".to_owned()),
        }
    }

    fn judge(&mut self, name: &str, outcome: &ToolOutcome) -> (&'static str, bool) {
        if name == HARMLESS.0 {
            self.harmless_works = matches!(outcome, ToolOutcome::Output(_));
            return (HARMLESS.1, self.harmless_works);
        }
        let Some(attempt) = ATTEMPTS.iter().find(|attempt| attempt.tool == name) else {
            return ("", matches!(outcome, ToolOutcome::Output(_)));
        };
        match outcome {
            ToolOutcome::Error(error) if attempt.errors.contains(&error.code.as_str()) => {
                self.contained.push(name.to_owned());
            }
            ToolOutcome::Error(error) => {
                self.problems.push(format!(
                    "`{name}` failed for another reason than it should: {}",
                    error.code
                ));
            }
            ToolOutcome::Output(_) => self.problems.push(format!("`{name}` was not stopped")),
        }
        (attempt.tries, self.problems.is_empty())
    }
}

/// An error without the name of the plugin, which stands before it already.
fn told<'a>(plugin: &str, message: &'a str) -> &'a str {
    let rest = message.strip_prefix(&format!("`{plugin}` ")).unwrap_or(message);
    rest.strip_prefix("was ").unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sandbar::protocol::{Error, ErrorKind, Event, RunId, SessionId, ToolOutput, Usage};

    use super::*;

    fn ended(name: &str, code: Option<&str>) -> StreamItem {
        let outcome = match code {
            Some(code) => ToolOutcome::Error(Error::new(ErrorKind::Plugin, code, "it was\nstopped")),
            None => ToolOutcome::Output(ToolOutput {
                text: "a.md".to_owned(),
                ..ToolOutput::default()
            }),
        };
        let body = EventBody::ToolFinished {
            effect: "e".to_owned(),
            call_id: "c".to_owned(),
            thread: "main".to_owned(),
            name: name.to_owned(),
            outcome,
            denials: Vec::new(),
            ms: 251,
        };
        let (session, run) = (SessionId::from_entropy(1), RunId::from_entropy(1));
        StreamItem::Event(Arc::new(Event {
            session,
            sequence: 1,
            run,
            at_ms: 0,
            body,
        }))
    }

    fn check(stop_reason: StopReason, calls: &[(&str, Option<&str>)], expected: Result<&str, &str>) {
        let mut attack = Attack::default();
        for (name, code) in calls {
            attack.see(&ended(name, *code), None, Paint { coloured: false });
        }
        attack.result = Some(RunResult {
            session: SessionId::from_entropy(1),
            run: RunId::from_entropy(1),
            stop_reason,
            finish_reason: None,
            text: String::new(),
            error: None,
            steps: 0,
            tool_calls: 0,
            model_calls: 0,
            usage: Usage::default(),
            wall_ms: 0,
        });
        assert_eq!(attack.verdict().as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn the_verdict_follows_from_what_happened() {
        let all = [
            ("endless_loop__spin", Some("cpu-limit")),
            ("memory_bomb__allocate", Some("memory-limit")),
            ("nosy__read_outside", Some("refused")),
            ("crasher__crash", Some("plugin-trapped")),
            ("files__list", None),
        ];
        let finished = StopReason::Finished;
        check(
            finished,
            &all,
            Ok("4 attacks, 4 contained, and the run went on after each."),
        );
        check(finished, &all[1..], Err("`endless_loop__spin` did not run"));
        check(finished, &all[..4], Err("`files__list` did not work after the attacks"));
        check(StopReason::ModelFailed, &all, Err("the run did not finish"));
        let mut spoiled = all;
        spoiled[2].1 = None;
        check(finished, &spoiled, Err("`nosy__read_outside` was not stopped"));
        spoiled[2].1 = Some("unknown-tool");
        check(
            finished,
            &spoiled,
            Err("`nosy__read_outside` failed for another reason than it should: unknown-tool"),
        );
    }

    #[test]
    fn columns_are_aligned() {
        let mut attack = Attack::default();
        let line = attack.see(
            &ended("crasher__crash", Some("plugin-trapped")),
            Some(80),
            Paint { coloured: false },
        );
        let expected = "  ✓ crasher       crashes                          251 ms  it was stopped";
        assert_eq!(line.as_deref(), Some(expected));
    }
}
