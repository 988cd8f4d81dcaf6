//! A tool that never ends: the host must.

use sandbar_sdk::{Context, Error, Tool};
use sandbar_sdk::{schemars::JsonSchema, serde::Deserialize};

sandbar_sdk::tool_plugin!(tools);

/// Computes for ever. Use it to see what happens to a plugin that does not come back.
#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(crate = "sandbar_sdk::serde", deny_unknown_fields)]
struct Spin {}

fn tools() -> Vec<Tool> {
    vec![Tool::new("spin", spin).read_only()]
}

fn spin(_: Spin, _context: &Context) -> Result<String, Error> {
    let mut turns: u64 = 0;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
