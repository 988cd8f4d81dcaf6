//! A pattern that asks the model once and ends the run with what it said, also when the model wants tools.
//!
//! Under the name of another pattern it is that pattern's changed successor: it decides the same at first, and then something else.

use sandbar_sdk::Error;
use sandbar_sdk::view::{Decision, View};

sandbar_sdk::pattern_plugin!(step);

fn step(view: &View) -> Result<Decision, Error> {
    Ok(match view.last_reply() {
        Some(_) => Decision::new().finish(None, "hasty"),
        None => Decision::new().model(),
    })
}
