//! A tool that takes all memory that it can get, and does not stop when it is refused.

use sandbar_sdk::{Context, Error, Tool};
use sandbar_sdk::{schemars::JsonSchema, serde::Deserialize};

sandbar_sdk::tool_plugin!(tools);

/// Takes memory without end. Use it to see what happens to a plugin that wants more than its share.
#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(crate = "sandbar_sdk::serde", deny_unknown_fields)]
struct Allocate {}

const BIGGEST: usize = 16 * 1024 * 1024;
const SMALLEST: usize = 64;

fn tools() -> Vec<Tool> {
    vec![Tool::new("allocate", allocate).read_only()]
}

fn allocate(_: Allocate, _context: &Context) -> Result<String, Error> {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    let mut size = BIGGEST;
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(size).is_ok() && hoard.try_reserve(1).is_ok() {
            // Writing is what makes the memory real.
            block.resize(size, 0xA5);
            hoard.push(std::hint::black_box(block));
        } else {
            // A refusal is no reason to stop: ask for less, and in the end for a lot again.
            size = if size > SMALLEST { size / 2 } else { BIGGEST };
        }
    }
}
