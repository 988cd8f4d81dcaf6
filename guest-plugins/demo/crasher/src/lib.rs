//! A tool that crashes.

use sandbar_sdk::{Context, Error, Tool};
use sandbar_sdk::{schemars::JsonSchema, serde::Deserialize};

sandbar_sdk::tool_plugin!(tools);

/// Crashes. Use it to see what happens to a plugin with a mistake in it.
#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(crate = "sandbar_sdk::serde", deny_unknown_fields)]
struct Crash {
    /// What to say while crashing.
    #[serde(default)]
    message: Option<String>,
}

fn tools() -> Vec<Tool> {
    vec![Tool::new("crash", crash).read_only()]
}

fn crash(input: Crash, _context: &Context) -> Result<String, Error> {
    panic!(
        "{}",
        input.message.as_deref().unwrap_or("crashed because it was asked to")
    );
}
