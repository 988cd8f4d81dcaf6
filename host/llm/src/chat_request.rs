//! OpenAI Chat Completions: what is sent.

use sandbar_protocol::{Message, ModelRequest, Role, ToolSpec};
use serde_json::{Map, Value, json};

/// Marks the items in `Message::provider_items` that this codec wrote: another provider's mean nothing here.
pub(crate) const FORMAT: &str = "openai-chat";

/// The body of a request: `settings` are the fields that every request of the model has.
pub(crate) fn body(settings: &Map<String, Value>, request: &ModelRequest) -> Value {
    let mut body = settings.clone();
    let system = (!request.instructions.is_empty()).then(|| json!({"role": "system", "content": request.instructions}));
    let messages = system
        .into_iter()
        .chain(request.messages.iter().map(|message| one(message)));
    body.insert("messages".to_owned(), messages.collect());
    if !request.tools.is_empty() {
        body.insert(
            "tools".to_owned(),
            request.tools.iter().map(|spec| tool(spec)).collect(),
        );
    }
    if let Some(schema) = &request.schema {
        let format = json!({"name": "answer", "schema": schema, "strict": is_strict(schema)});
        body.insert(
            "response_format".to_owned(),
            json!({"type": "json_schema", "json_schema": format}),
        );
    }
    Value::Object(body)
}

fn one(message: &Message) -> Value {
    match (message.role, &message.call_id) {
        (Role::System, _) => json!({"role": "system", "content": message.text}),
        (Role::Assistant, _) => assistant(message),
        // The text of a failure says that it is one; the format has no other place for it.
        (Role::Tool, Some(id)) => json!({"role": "tool", "tool_call_id": id, "content": message.text}),
        (Role::User | Role::Tool, _) => json!({"role": "user", "content": message.text}),
    }
}

/// Our projection, and around it what else the provider wrote.
fn assistant(message: &Message) -> Value {
    let mut fields = message
        .provider_items
        .iter()
        .find(|item| item.get("format").and_then(Value::as_str) == Some(FORMAT))
        .and_then(|item| item.get("message")?.as_object().cloned())
        .unwrap_or_default();
    let parts = fields.remove("content");
    let of_calls = fields.remove("tool_calls");
    fields.insert("role".to_owned(), "assistant".into());
    fields.insert("content".to_owned(), content(parts, message));
    let calls = message.calls.iter().enumerate().map(|(position, call)| {
        let further = of_calls
            .as_ref()
            .and_then(|calls| calls.get(position)?.as_object().cloned());
        let mut fields = further.unwrap_or_default();
        fields.insert("id".to_owned(), call.id.as_str().into());
        fields.insert("type".to_owned(), "function".into());
        let function = json!({"name": call.name, "arguments": arguments(&call.arguments)});
        fields.insert("function".to_owned(), function);
        Value::Object(fields)
    });
    let calls: Vec<Value> = calls.collect();
    if !calls.is_empty() {
        fields.insert("tool_calls".to_owned(), calls.into());
    }
    Value::Object(fields)
}

fn content(parts: Option<Value>, message: &Message) -> Value {
    match parts {
        Some(Value::Array(mut parts)) => {
            if !message.text.is_empty() {
                parts.push(json!({"type": "text", "text": message.text}));
            }
            parts.into()
        }
        _ if message.text.is_empty() && !message.calls.is_empty() => Value::Null,
        _ => message.text.as_str().into(),
    }
}

/// Some servers parse what is sent back and refuse the whole conversation for one call that its model wrote badly.
fn arguments(text: &str) -> String {
    if text.trim().is_empty() {
        return "{}".to_owned();
    }
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(_) => text.to_owned(),
        Err(_) => json!({ "malformed": text }).to_string(),
    }
}

fn tool(spec: &ToolSpec) -> Value {
    let function = json!({"name": spec.name, "description": spec.description, "parameters": spec.input_schema});
    json!({"type": "function", "function": function})
}

/// Whether a schema is in the subset that a provider can enforce: every object lists all its properties as required and no other.
fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let object =
                fields.get("type").and_then(Value::as_str) == Some("object") || fields.contains_key("properties");
            let closed = || {
                let required = fields.get("required").and_then(Value::as_array);
                let is_required = |key: &String| required.is_some_and(|keys| keys.iter().any(|other| other == key));
                fields.get("additionalProperties") == Some(&Value::Bool(false))
                    && fields
                        .get("properties")
                        .and_then(Value::as_object)
                        .is_some_and(|all| all.keys().all(is_required))
            };
            (!object || closed()) && fields.values().all(is_strict)
        }
        Value::Array(items) => items.iter().all(is_strict),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sandbar_protocol::{ToolCall, ToolTraits};

    use super::*;

    fn request(messages: Vec<Message>) -> ModelRequest {
        ModelRequest {
            instructions: String::new(),
            thread: "main".to_owned(),
            messages: messages.into_iter().map(Arc::new).collect(),
            tools: Vec::new(),
            schema: None,
        }
    }

    fn check(request: &ModelRequest, expected: &Value) {
        assert_eq!(body(&Map::new(), request), *expected);
    }

    fn calls(arguments: &[&str]) -> Vec<ToolCall> {
        let call = |(at, arguments): (usize, &&str)| ToolCall {
            id: format!("c{at}"),
            name: "t".to_owned(),
            arguments: (*arguments).to_owned(),
        };
        arguments.iter().enumerate().map(call).collect()
    }

    #[test]
    fn conversations_are_told_in_their_order() {
        let asked = Message {
            calls: calls(&[r#"{"a": 1}"#, "", "{broken", "[1]"]),
            ..Message::new(Role::Assistant, "")
        };
        let messages = vec![
            Message::new(Role::User, "hello"),
            asked,
            Message::tool_result("c0", "found", false),
            Message::tool_result("c1", "error [x]: gone", true),
            Message::new(Role::Assistant, "done"),
            Message::new(Role::System, "be quick"),
        ];
        let call = |at: usize, arguments: &str| json!({"id": format!("c{at}"), "type": "function", "function": {"name": "t", "arguments": arguments}});
        let expected = json!({"messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": null, "tool_calls": [
                call(0, r#"{"a": 1}"#), call(1, "{}"), call(2, r#"{"malformed":"{broken"}"#), call(3, r#"{"malformed":"[1]"}"#),
            ]},
            {"role": "tool", "tool_call_id": "c0", "content": "found"},
            {"role": "tool", "tool_call_id": "c1", "content": "error [x]: gone"},
            {"role": "assistant", "content": "done"},
            {"role": "system", "content": "be quick"},
        ]});
        check(
            &ModelRequest {
                instructions: "Be brief.".to_owned(),
                ..request(messages)
            },
            &expected,
        );
    }

    #[test]
    fn what_the_provider_wrote_goes_back_as_it_was() {
        let kept = json!({"format": FORMAT, "message": {
            "reasoning_content": "hm", "role": "evil", "content": [{"type": "thinking", "x": 1}],
            "tool_calls": [{"extra_content": {"s": "abc"}, "id": "old"}],
        }});
        let foreign = json!({"format": "other", "message": {"thinking": "no"}});
        let message = Message {
            calls: calls(&["{}", "{}"]),
            provider_items: vec![foreign, kept],
            ..Message::new(Role::Assistant, "text")
        };
        let function = json!({"name": "t", "arguments": "{}"});
        let expected = json!({"messages": [{
            "role": "assistant", "reasoning_content": "hm",
            "content": [{"type": "thinking", "x": 1}, {"type": "text", "text": "text"}],
            "tool_calls": [
                {"id": "c0", "type": "function", "function": function, "extra_content": {"s": "abc"}},
                {"id": "c1", "type": "function", "function": function},
            ],
        }]});
        check(&request(vec![message]), &expected);
    }

    #[test]
    fn tools_schema_and_settings_are_sent() {
        let spec = |name: &str| {
            Arc::new(ToolSpec {
                name: name.to_owned(),
                description: "does it".to_owned(),
                input_schema: json!({"type": "object"}),
                output_schema: None,
                traits: ToolTraits::default(),
            })
        };
        let schema =
            json!({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false});
        let request = ModelRequest {
            tools: vec![spec("b"), spec("a")],
            schema: Some(schema.clone()),
            ..request(Vec::new())
        };
        let settings = json!({"model": "m", "stream": true}).as_object().cloned().unwrap();
        let tool = |name: &str| json!({"type": "function", "function": {"name": name, "description": "does it", "parameters": {"type": "object"}}});
        let expected = json!({
            "model": "m", "stream": true, "messages": [], "tools": [tool("b"), tool("a")],
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": true}},
        });
        assert_eq!(body(&settings, &request), expected);
    }

    #[test]
    fn strict_is_asked_for_where_it_can_be() {
        for (schema, expected) in [
            (json!({"type": "string"}), true),
            (json!({"type": "object"}), false),
            (json!({"properties": {"a": {}}, "required": ["a"]}), false),
            (
                json!({"properties": {"a": {}}, "required": [], "additionalProperties": false}),
                false,
            ),
            (
                json!({"properties": {"a": {"type": "object"}}, "required": ["a"], "additionalProperties": false}),
                false,
            ),
            (
                json!({"properties": {"a": {}}, "required": ["a"], "additionalProperties": false}),
                true,
            ),
        ] {
            assert_eq!(is_strict(&schema), expected, "{schema}");
        }
    }
}
