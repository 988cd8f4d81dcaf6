//! Logs without end: first one huge message, then small ones.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("flood", flood)]
}

fn flood(_: NoInput, _: &Context) -> Result<String, Error> {
    sandbar_sdk::warn("x".repeat(16 * 1024 * 1024));
    loop {
        sandbar_sdk::info("the same again");
    }
}
