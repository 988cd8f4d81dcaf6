//! Four tools, each with an input schema that no host can accept, and one that is well.

use sandbar_sdk::{Output, Tool, ToolSpec};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    let deep = format!("{}{{}}{}", r#"{"properties":{"a":"#.repeat(500), "}}".repeat(500));
    let schemas = [
        ("not_json", "{not json".to_owned()),
        ("too_deep", deep),
        (
            "remote_ref",
            r#"{"type":"object","$ref":"https://example.com/schema.json"}"#.to_owned(),
        ),
        (
            "look_around",
            r#"{"type":"object","properties":{"a":{"type":"string","pattern":"(?=a)b"}}}"#.to_owned(),
        ),
        ("well", r#"{"type":"object"}"#.to_owned()),
    ];
    let tool = |(name, input_schema): (&str, String)| {
        let spec = ToolSpec {
            name: name.to_owned(),
            description: "Has a schema.".to_owned(),
            input_schema,
            output_schema: None,
            annotations: Vec::new(),
        };
        Tool::with_spec(spec, |_, _| Ok(Output::new("called")))
    };
    schemas.into_iter().map(tool).collect()
}
