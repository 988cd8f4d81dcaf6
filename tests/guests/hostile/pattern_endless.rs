//! A pattern that never finishes: each step emits an event.

use sandbar_sdk::Error;
use sandbar_sdk::view::{Decision, EmitAction, View};

sandbar_sdk::pattern_plugin!(step);

fn step(view: &View) -> Result<Decision, Error> {
    Ok(Decision::new().then(EmitAction {
        name: "acme.more".to_owned(),
        json: view.step.to_string(),
    }))
}
