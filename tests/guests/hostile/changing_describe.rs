//! Says something else of itself each time that it is asked, so that what was read once is not what is there.

use sandbar_sdk::{Output, Tool, ToolSpec};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    let spec = |name: String| ToolSpec {
        name,
        description: format!("Is number {}.", random()),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        output_schema: None,
        annotations: Vec::new(),
    };
    // One that is always there, and one that never is again.
    let names = ["attack".to_owned(), format!("changes_{:08x}", random())];
    names
        .into_iter()
        .map(|name| Tool::with_spec(spec(name), |_, _| Ok(Output::new("done"))))
        .collect()
}

#[cfg(target_arch = "wasm32")]
fn random() -> u64 {
    wasip2::random::random::get_random_u64() >> 32
}

#[cfg(not(target_arch = "wasm32"))]
fn random() -> u64 {
    0
}
