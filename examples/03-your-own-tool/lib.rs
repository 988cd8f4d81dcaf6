//! Counts words.

use sandbar_sdk::{Context, Error, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("count", count).read_only()]
}

/// Counts the words of a file in the workspace. Use it instead of counting yourself.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Count {
    /// The file, relative to the workspace.
    path: String,
}

fn count(input: Count, _context: &Context) -> Result<String, Error> {
    let text = std::fs::read_to_string(&input.path)?;
    Ok(format!("{} words", text.split_whitespace().count()))
}
