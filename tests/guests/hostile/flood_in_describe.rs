//! Says far too much about itself: 100,000 tools, the first with a description of 8 MiB.

use sandbar_sdk::{Output, Tool, ToolSpec};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    let tool = |index: usize| {
        let spec = ToolSpec {
            name: format!("tool_{index}"),
            description: "x".repeat(if index == 0 { 8 * 1024 * 1024 } else { 10 }),
            input_schema: r#"{"type":"object"}"#.to_owned(),
            output_schema: None,
            annotations: Vec::new(),
        };
        Tool::with_spec(spec, |_, _| Ok(Output::new("")))
    };
    (0..100_000).map(tool).collect()
}
