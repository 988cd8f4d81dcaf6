//! Asks for the state of a file without end.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("flood", flood)]
}

fn flood(_: NoInput, _: &Context) -> Result<String, Error> {
    loop {
        // The file may be gone: it is the question that costs.
        let _ = std::fs::metadata("a.txt");
    }
}
