//! The ReAct loop: ask the model, run what it calls, ask again, and end when it calls nothing.
//!
//! Keeps no state: every decision follows from the changes since the last step. The limits of a run are the host's to enforce.

use sandbar_sdk::Error;
use sandbar_sdk::view::{Change, Decision, View};

sandbar_sdk::pattern_plugin!(step);

fn step(view: &View) -> Result<Decision, Error> {
    if let Some(note) = view.changes.iter().find_map(unsupported) {
        return Err(Error::new("unsupported", format!("the host can't go on: {note}"))
            .hint("this pattern needs only the model and tools: use a host of the same version as the pattern"));
    }
    let reply = view.changes.iter().rev().find_map(|change| match change {
        Change::Reply(reply) => Some(reply),
        _ => None,
    });
    Ok(match reply {
        Some(reply) if !reply.calls.is_empty() => Decision::new().asked(&reply.calls),
        // A provider may say that it wants tools and name none: asking again would only repeat that.
        Some(reply) if reply.finish_reason == "tool-calls" => Decision::new().finish(None, "empty-tool-calls"),
        Some(reply) if reply.finish_reason == "stop" => Decision::new().finish(None, "done"),
        Some(reply) => Decision::new().finish(None, reply.finish_reason.clone()),
        // The request, tool results, or notes of a kind that is newer than this pattern.
        None => Decision::new().model(),
    })
}

fn unsupported(change: &Change) -> Option<&str> {
    match change {
        Change::Note(note) if note.kind == "unsupported" => Some(&note.head),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sandbar_sdk::view::{Action, Note, Reply, ToolCall, ToolRequest, ToolResult};

    use super::*;

    /// A decision in one line, or the error.
    fn decide(changes: Vec<Change>) -> String {
        let view = View {
            session: "s".to_owned(),
            run: "r".to_owned(),
            step: 1,
            changes,
            state: Vec::new(),
            tools: vec!["files__read".to_owned()],
            annotations: Vec::new(),
        };
        match step(&view) {
            Ok(decision) => {
                assert_eq!(decision.state, None);
                decision.actions.iter().map(line).collect::<Vec<_>>().join("; ")
            }
            Err(error) => format!("error {}: {}", error.code, error.message),
        }
    }

    fn line(action: &Action) -> String {
        match action {
            Action::Model(model) => {
                assert_eq!(
                    (&model.append, &model.tools, &model.schema),
                    (&Vec::new(), &None, &None)
                );
                format!("model {}", model.thread)
            }
            Action::Tools(tools) => {
                let ids = tools.calls.iter().map(|call| match call {
                    ToolRequest::Asked(id) => id.as_str(),
                    ToolRequest::Own(own) => own.name.as_str(),
                });
                format!("tools {} {}", tools.thread, ids.collect::<Vec<_>>().join(","))
            }
            Action::Finish(finish) => format!("finish {:?} {}", finish.text, finish.reason),
            other => format!("{other:?}"),
        }
    }

    fn note(kind: &str) -> Change {
        Change::Note(Note {
            id: "n1".to_owned(),
            kind: kind.to_owned(),
            head: "`tools` is not there".to_owned(),
            bytes: 20,
            annotations: Vec::new(),
        })
    }

    fn reply(finish_reason: &str, calls: &[&str]) -> Change {
        let call = |id: &&str| ToolCall {
            id: (*id).to_owned(),
            name: "files__read".to_owned(),
            input_head: "{}".to_owned(),
            annotations: Vec::new(),
        };
        Change::Reply(Reply {
            id: "m1".to_owned(),
            thread: "main".to_owned(),
            head: "text".to_owned(),
            bytes: 4,
            calls: calls.iter().map(call).collect(),
            finish_reason: finish_reason.to_owned(),
            annotations: Vec::new(),
        })
    }

    fn result(id: &str, failed: bool) -> Change {
        Change::ToolResult(ToolResult {
            id: id.to_owned(),
            name: "files__read".to_owned(),
            failed,
            head: "text".to_owned(),
            bytes: 4,
            annotations: Vec::new(),
        })
    }

    #[test]
    fn decisions() {
        let check = |changes: Vec<Change>, expected: &str| assert_eq!(decide(changes), expected);
        check(vec![note("request")], "model main");
        check(vec![reply("tool-calls", &["c1", "c2"])], "tools main c1,c2");
        // Some providers say `stop` beside calls.
        check(vec![reply("stop", &["c1"])], "tools main c1");
        check(vec![result("c1", false), result("c2", true)], "model main");
        check(vec![reply("stop", &[])], "finish None done");
        check(vec![reply("length", &[])], "finish None length");
        check(vec![reply("tool-calls", &[])], "finish None empty-tool-calls");
        check(vec![note("from-the-future")], "model main");
        check(vec![], "model main");
        check(
            vec![note("unsupported")],
            "error unsupported: the host can't go on: `tools` is not there",
        );
    }
}
