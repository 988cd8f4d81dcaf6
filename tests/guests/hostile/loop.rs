//! Computes for ever when called, or for as long as it is told.

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Context, Error, NoInput, Tool};
use serde::Deserialize;

sandbar_sdk::tool_plugin!(tools);

/// Counts up to a number: honest work, to be measured beside the other.
#[derive(Deserialize, JsonSchema)]
struct Count {
    turns: u64,
}

fn tools() -> Vec<Tool> {
    vec![Tool::new("spin", spin), Tool::new("count", count)]
}

fn count(input: Count, _: &Context) -> Result<String, Error> {
    let mut turns: u64 = 0;
    while turns < input.turns {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
    Ok(turns.to_string())
}

fn spin(_: NoInput, _: &Context) -> Result<String, Error> {
    let mut turns: u64 = 0;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
