//! Prints to standard error without end.

use std::io::Write;

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("flood", flood)]
}

fn flood(_: NoInput, _: &Context) -> Result<String, Error> {
    let line = [b'x'; 1000];
    loop {
        // A host that takes no more is what this looks for.
        let _ = std::io::stderr().write_all(&line);
    }
}
