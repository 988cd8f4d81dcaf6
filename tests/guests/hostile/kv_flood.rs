//! Reads a key, for ever.

use sandbar_sdk::{Context, Error, NoInput, Tool, kv};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    loop {
        kv::get("key")?;
    }
}
