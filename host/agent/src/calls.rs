//! The tool calls behind a pattern's words.

use std::collections::HashSet;

use sandbar_protocol::{Error, ErrorKind, Result, ToolCall, ToolRequest, ToolsAction};

use crate::effects::ToolEffect;

/// Takes what is asked for out of the calls that wait. The pattern's own are named after the `step` and numbered by `own`, which goes on
/// from action to action: a call's id is what a tool tells its repetitions by.
pub(crate) fn resolve(
    action: ToolsAction,
    waiting: &mut Vec<ToolCall>,
    step: u32,
    own: &mut u32,
) -> Result<Vec<ToolEffect>> {
    let mut seen = HashSet::new();
    let thread = action.thread;
    action
        .calls
        .into_iter()
        .map(|request| match request {
            ToolRequest::Own(call) => {
                *own += 1;
                Ok(ToolEffect {
                    call_id: format!("own-{step}-{own}"),
                    name: call.name,
                    arguments: call.input,
                    thread: thread.clone(),
                    own: true,
                })
            }
            ToolRequest::Asked(id) => {
                let index = waiting.iter().position(|call| call.id == id && seen.insert(id.clone()));
                let call = index.map(|index| waiting.remove(index)).ok_or_else(|| unasked(&id))?;
                Ok(ToolEffect {
                    call_id: call.id,
                    name: call.name,
                    arguments: call.arguments,
                    thread: thread.clone(),
                    own: false,
                })
            }
        })
        .collect()
}

fn unasked(id: &str) -> Error {
    Error::new(
        ErrorKind::Plugin,
        "bad-decision",
        format!("the pattern asked for the call {id:?}, which the model did not ask for or which has run"),
    )
    .with_hint("see `tool-request` in wit/pattern.wit")
}

#[cfg(test)]
mod tests {
    use sandbar_protocol::OwnCall;

    use super::*;

    #[test]
    fn calls_of_several_actions_in_a_step_have_ids_of_their_own() {
        let own = || {
            let (name, input) = ("t".to_owned(), "{}".to_owned());
            ToolRequest::Own(OwnCall { name, input })
        };
        let mut numbered = 0;
        let mut ids = Vec::new();
        for calls in [vec![own(), own()], vec![own()]] {
            let thread = "main".to_owned();
            let resolved = resolve(ToolsAction { thread, calls }, &mut Vec::new(), 3, &mut numbered).unwrap();
            ids.extend(resolved.into_iter().map(|call| call.call_id));
        }
        assert_eq!(ids, ["own-3-1", "own-3-2", "own-3-3"]);
    }
}
