//! Calls itself for ever.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("recurse", recurse)]
}

fn recurse(_: NoInput, _: &Context) -> Result<String, Error> {
    Ok(deeper(1).to_string())
}

fn deeper(level: u64) -> u64 {
    // The frame is used after the call, so that it can't be optimised into a loop.
    let frame = std::hint::black_box([level; 64]);
    if level == u64::MAX {
        return 0;
    }
    deeper(level + 1).wrapping_add(frame[(level % 64) as usize])
}
