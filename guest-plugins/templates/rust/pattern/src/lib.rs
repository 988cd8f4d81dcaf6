//! The pattern `{{name}}`: answers as ReAct does, but lets the model check its first answer once.

use sandbar_sdk::Error;
use sandbar_sdk::view::{Decision, ModelAction, View};

sandbar_sdk::pattern_plugin!(step);

const CHECKED: &[u8] = b"checked";

/// Decides what to do next from what happened since the last step; `view.state` is what the last step left.
fn step(view: &View) -> Result<Decision, Error> {
    let Some(reply) = view.last_reply() else {
        // The user's message, or results of tools: the host has already put them into the conversation.
        return Ok(Decision::new().model());
    };
    if !reply.calls.is_empty() {
        return Ok(Decision::new().asked(&reply.calls));
    }
    if view.state == CHECKED {
        return Ok(Decision::new().finish(None, "done"));
    }
    let check = ModelAction::on("main").user("Check your answer. Then write it again, corrected where it was wrong.");
    Ok(Decision::new().then(check).state(CHECKED))
}

#[cfg(test)]
mod tests {
    use sandbar_sdk::view::Change;

    use super::*;

    #[test]
    fn the_first_answer_is_checked() {
        let mut view = View::of([Change::reply("2 + 2 = 5")]);
        assert_eq!(step(&view).unwrap().state.as_deref(), Some(CHECKED));
        view.state = CHECKED.to_vec();
        assert_eq!(step(&view).unwrap(), Decision::new().finish(None, "done"));
    }
}
