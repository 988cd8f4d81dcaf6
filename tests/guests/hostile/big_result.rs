//! Answers with as much text as it can allocate.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("answer", answer)]
}

fn answer(_: NoInput, _: &Context) -> Result<String, Error> {
    let mut text = Vec::new();
    // Doubling would fail at half of the memory, so it grows by a fixed step.
    while text.try_reserve_exact(1024 * 1024).is_ok() && text.len() < 512 * 1024 * 1024 {
        text.resize(text.capacity(), b'x');
    }
    // Where others have taken the memory there is nothing to attack with.
    if text.len() < 10 * 1024 * 1024 {
        return Err(Error::new("no-memory", format!("got {} bytes", text.len())));
    }
    String::from_utf8(text).map_err(|error| Error::new("not-text", error.to_string()))
}
