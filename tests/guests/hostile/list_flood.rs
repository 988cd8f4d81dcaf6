//! Lists a directory without end.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("flood", flood)]
}

fn flood(_: NoInput, _: &Context) -> Result<String, Error> {
    loop {
        // Whether it can be listed is all the same.
        let _ = std::fs::read_dir("/").map(Iterator::count);
    }
}
