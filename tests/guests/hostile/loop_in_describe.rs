//! Never says what it is.

use sandbar_sdk::Tool;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    let mut turns: u64 = 0;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
