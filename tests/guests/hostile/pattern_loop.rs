//! A pattern whose step never ends.

use sandbar_sdk::Error;
use sandbar_sdk::view::{Decision, View};

sandbar_sdk::pattern_plugin!(step);

fn step(_: &View) -> Result<Decision, Error> {
    let mut turns: u64 = 0;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
