//! What a run waits for, as a person reads it: each question, and the command that answers it.

use sandbar::protocol::{Clock as _, Result, RunId, Suspension, SuspensionKind, SystemClock};
use sandbar::store::{Store, SuspensionState, SuspensionSummary};

use crate::answer::{numbered, shown, wanted};
use crate::lines::moment;
use crate::options::{Options, quoted};
use crate::question;
use crate::style::{Paint, Style};
use crate::terminal::{Stream, Terminal};

/// Whether a run waits for an answer.
pub(crate) fn is_open(store: &Store, run: &RunId) -> Result<bool> {
    Ok(!open(store, run)?.is_empty())
}

/// The open questions of a run, and of the one that works for it.
fn open(store: &Store, run: &RunId) -> Result<Vec<SuspensionSummary>> {
    let (mut open, mut next) = (Vec::new(), Some(run.clone()));
    while let Some(run) = next {
        let found = store.suspensions(&run)?.into_iter();
        open.extend(found.filter(|found| found.state == SuspensionState::Open));
        let child = store.open_child(&run)?.filter(|child| child.stop_reason.is_none());
        next = child.map(|child| child.id);
    }
    Ok(open)
}

/// Says for people what a run waits for.
pub(crate) fn tell(store: &Store, run: &RunId, options: &Options, terminal: &Terminal) -> Result<()> {
    if terminal.json {
        return Ok(());
    }
    for line in of_run(store, run, &options.repeated(), terminal.paint(Stream::Err))? {
        terminal.note(&line);
    }
    Ok(())
}

/// The open questions of a run. `repeated` are the flags that choose the configuration.
pub(crate) fn of_run(store: &Store, run: &RunId, repeated: &str, paint: Paint) -> Result<Vec<String>> {
    let open = open(store, run)?.into_iter();
    let now_ms = SystemClock.now_ms();
    let lines_of = |found: SuspensionSummary| lines(&found.suspension, repeated, now_ms, paint);
    Ok(open.flat_map(lines_of).collect())
}

fn lines(suspension: &Suspension, repeated: &str, now_ms: u64, paint: Paint) -> Vec<String> {
    let mut lines = question::lines(suspension, now_ms, paint);
    let dim = |text: &str| paint.with(Style::Dim, text);
    lines.push(format!("    {} {}", dim("answer:"), command(suspension, repeated)));
    lines.push(format!("    {} {}", dim("wanted:"), wanted(suspension)));
    lines.push(format!("    {} {} UTC", dim("until:"), moment(suspension.expires_ms)));
    lines
}

/// A command that answers it, with the answer that goes on.
pub(crate) fn command(suspension: &Suspension, repeated: &str) -> String {
    let answer = match suspension.kind {
        SuspensionKind::Approval => "once".to_owned(),
        SuspensionKind::UnknownOutcome => "retry".to_owned(),
        SuspensionKind::Budget => "extend".to_owned(),
        SuspensionKind::SignIn => "done".to_owned(),
        SuspensionKind::Question => match numbered(&suspension.schema).as_deref() {
            Some([first, ..]) => quoted(&shown(first)),
            _ => "'…'".to_owned(),
        },
    };
    format!("sandbar runs answer{repeated} {} {answer}", suspension.id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::answer::tests::suspension;

    #[test]
    fn a_command_can_be_pasted() {
        let check = |asked: &Suspension, expected: &str| {
            let expected = format!("sandbar runs answer --data-dir d {} {expected}", asked.id);
            assert_eq!(command(asked, " --data-dir d"), expected);
        };
        check(&suspension(SuspensionKind::Approval), "once");
        check(&suspension(SuspensionKind::UnknownOutcome), "retry");
        check(&suspension(SuspensionKind::Budget), "extend");
        check(&suspension(SuspensionKind::SignIn), "done");
        let question = |schema| Suspension {
            schema,
            ..suspension(SuspensionKind::Question)
        };
        check(&question(json!({ "enum": ["it's red", "blue"] })), r"'it'\''s red'");
        check(&question(json!({ "type": "string" })), "'…'");
    }

    #[test]
    fn a_question_comes_with_what_answers_it() {
        let asked = Suspension {
            expires_ms: 60_000,
            ..suspension(SuspensionKind::Budget)
        };
        let shown = lines(&asked, "", 0, Paint { coloured: false }).join("\n");
        let expected = format!(
            "  ? the run has used up a limit\n  │ may it?\n    expires in 1 min\n    answer: sandbar runs answer {} extend\n    \
             wanted: `extend` and perhaps by how many, or `stop`\n    until: 1970-01-01 00:01 UTC",
            asked.id
        );
        assert_eq!(shown, expected);
    }
}
