//! A pattern whose step panics.

use sandbar_sdk::Error;
use sandbar_sdk::view::{Decision, View};

sandbar_sdk::pattern_plugin!(step);

fn step(view: &View) -> Result<Decision, Error> {
    panic!("the pattern trapped in step {}", view.step);
}
