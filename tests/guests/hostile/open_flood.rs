//! Opens and closes a file without end.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("flood", flood)]
}

fn flood(_: NoInput, _: &Context) -> Result<String, Error> {
    loop {
        // Whether it is there is all the same.
        drop(std::fs::File::open("a.txt"));
    }
}
