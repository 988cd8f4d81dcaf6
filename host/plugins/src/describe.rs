//! Asks a tool component what its tools are, once per digest, and checks the answer: it goes into every request to the model.

use std::collections::BTreeSet;
use std::sync::Arc;

use sandbar_protocol::{Error, Result, Schema, ToolSpec, ToolTraits, is_unseen, with_unseen_escaped, without_unseen};
use serde_json::Value;

use crate::bindings::tool::exports::sandbar::plugin::tool as wit;
use crate::error::{NO_ADDRESS_SPACE, broken};
use crate::facts::MemoryTraits;
use crate::guest::{Call, CallPorts, CallSetup, Powers};
use crate::host::Host;
use crate::limits::{GuestLimits, MAX_DESCRIPTION_BYTES, MAX_TOOL_NAME_BYTES, MAX_TOOLS};
use crate::plugin::{Loaded, Plugin};

/// Runs `describe` in an instance with no powers and tight limits.
pub(crate) async fn describe(host: &Arc<Host>, plugin: Arc<Plugin>, loaded: Arc<Loaded>) -> Result<Vec<ToolSpec>> {
    let call = Call::Tool(Box::new(|store, program| {
        Box::pin(async move { program.sandbar_plugin_tool().call_describe(store).await })
    }));
    check(powerless(host, plugin, loaded, call).await?)
}

/// The same of a memory, which says less of itself.
pub(crate) async fn describe_memory(
    host: &Arc<Host>,
    plugin: Arc<Plugin>,
    loaded: Arc<Loaded>,
) -> Result<MemoryTraits> {
    let call = Call::Memory(Box::new(|store, program| {
        Box::pin(async move { program.sandbar_plugin_memory().call_describe(store).await })
    }));
    let annotations = powerless(host, plugin, loaded, call).await?;
    let mut traits = MemoryTraits::default();
    for (key, value) in annotations {
        if key == "idempotent-commit" {
            traits.idempotent_commit = value.parse().map_err(|_| {
                bad(format!(
                    "it says `{key}` = `{}`, wanted `true` or `false`",
                    value.escape_debug()
                ))
            })?;
        }
    }
    Ok(traits)
}

async fn powerless<R: Send + 'static>(
    host: &Arc<Host>,
    plugin: Arc<Plugin>,
    loaded: Arc<Loaded>,
    call: Call<R>,
) -> Result<R> {
    let setup = CallSetup {
        host: host.clone(),
        session: format!("describe/{}", plugin.name).into(),
        plugin,
        loaded,
        powers: Powers::default(),
        limits: GuestLimits::DESCRIBE,
        ports: CallPorts::default(),
    };
    let (described, _guest) = setup.run(None, call).await.map_err(|error| {
        let told = |error: Error| error.told(|message| format!("in `describe`: {message}"));
        match error.code.as_str() {
            NO_ADDRESS_SPACE => told(error),
            // Its limits are not the configured ones, so that a hint to raise those would mislead.
            _ => told(error).with_hint("mend the plugin: `describe` has nothing to do but to hand over constants"),
        }
    })?;
    Ok(described)
}

fn check(specs: Vec<wit::ToolSpec>) -> Result<Vec<ToolSpec>> {
    if specs.len() > MAX_TOOLS {
        return Err(bad(format!(
            "it describes {} tools, the limit is {MAX_TOOLS}",
            specs.len()
        )));
    }
    if specs.is_empty() {
        return Err(bad("it describes no tool".to_owned()));
    }
    let mut names = BTreeSet::new();
    specs
        .into_iter()
        .map(|spec| {
            if !names.insert(spec.name.clone()) {
                return Err(bad(format!("it describes the tool `{}` twice", spec.name)));
            }
            check_spec(spec)
        })
        .collect()
}

fn check_spec(spec: wit::ToolSpec) -> Result<ToolSpec> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name = spec.name;
    if !(1..=MAX_TOOL_NAME_BYTES).contains(&name.len()) || !name.chars().all(allowed) {
        let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        return Err(bad(format!(
            "the tool name `{shown}` is not 1 to {MAX_TOOL_NAME_BYTES} of A-Z a-z 0-9 _ -"
        )));
    }
    if spec.description.len() > MAX_DESCRIPTION_BYTES {
        return Err(bad(format!(
            "the description of `{name}` has {} bytes, the limit is {MAX_DESCRIPTION_BYTES}",
            spec.description.len()
        )));
    }
    let input_schema = schema(&name, "input", &spec.input_schema)?;
    if input_schema.get("type").is_some_and(|kind| kind != "object") {
        return Err(bad(format!("the input schema of `{name}` is not of type `object`")));
    }
    Ok(ToolSpec {
        traits: traits(&name, spec.annotations)?,
        description: without_unseen(&spec.description).into_owned(),
        input_schema,
        output_schema: spec
            .output_schema
            .map(|text| schema(&name, "output", &text))
            .transpose()?,
        name,
    })
}

fn schema(tool: &str, which: &str, text: &str) -> Result<Value> {
    let explain = |why: String| bad(format!("the {which} schema of `{tool}`: {why}"));
    if text.len() > sandbar_protocol::MAX_SCHEMA_BYTES {
        return Err(explain(format!(
            "{} bytes, the limit is {}",
            text.len(),
            sandbar_protocol::MAX_SCHEMA_BYTES
        )));
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| explain(format!("not JSON: {error}")))?;
    let schema = readable(schema).map_err(explain)?;
    if !schema.is_object() {
        return Err(explain("not a JSON object".to_owned()));
    }
    match Schema::compile(&schema) {
        Ok(_) => Ok(schema),
        Err(error) => Err(explain(error.message)),
    }
}

/// Texts without what nobody sees. A key is a name that a model has to write, so that it is refused instead; in a regular expression the
/// characters mean something, and are written so that they are seen.
fn readable(schema: Value) -> Result<Value, String> {
    let field = |(key, value): (String, Value)| {
        if without_unseen(&key) != key {
            let shown: String = with_unseen_escaped(&key).chars().take(80).collect();
            return Err(format!("the key `{shown}` has characters that nobody sees"));
        }
        let value = match value {
            Value::String(pattern) if key == "pattern" => Value::String(with_unseen_escaped(&pattern).into_owned()),
            value => readable(value)?,
        };
        Ok((key, value))
    };
    match schema {
        Value::String(text) => Ok(Value::String(without_unseen(&text).into_owned())),
        Value::Array(items) => items.into_iter().map(readable).collect(),
        Value::Object(fields) => Ok(Value::Object(fields.into_iter().map(field).collect::<Result<_, _>>()?)),
        other => Ok(other),
    }
}

/// Annotations of ours; others are the plugin's own and mean nothing here.
fn traits(tool: &str, annotations: Vec<(String, String)>) -> Result<ToolTraits> {
    let mut traits = ToolTraits::default();
    for (key, value) in annotations {
        let wrong = |wanted: &str| {
            bad(format!(
                "`{tool}` says `{key}` = `{}`, wanted {wanted}",
                value.escape_debug()
            ))
        };
        let flag = || value.parse::<bool>().map_err(|_| wrong("`true` or `false`"));
        match key.as_str() {
            "read-only" => traits.read_only = flag()?,
            "destructive" => traits.destructive = flag()?,
            "idempotent" => traits.idempotent = flag()?,
            "exclusive" => traits.exclusive = flag()?,
            "previews" => traits.previews = flag()?,
            "approval" => traits.approval = flag()?,
            "resource" if value.len() > 256 || value.chars().any(is_unseen) => {
                return Err(wrong("at most 256 bytes, all of which can be seen"));
            }
            "resource" => traits.resource = Some(value),
            "timeout-ms" => traits.timeout_ms = Some(value.parse().map_err(|_| wrong("milliseconds"))?),
            _ => {}
        }
    }
    Ok(traits)
}

fn bad(why: String) -> sandbar_protocol::Error {
    broken("bad-describe", why).with_hint("see `tool-spec` in wit/tool.wit for what a tool may say of itself")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_schema_is_hidden() {
        let check = |schema: Value, expected: Value| {
            assert_eq!(super::schema("t", "input", &schema.to_string()).unwrap(), expected);
        };
        check(
            json!({ "title": "a\u{e0041}\u{e007f}b", "properties": { "x": { "description": "text\u{202e}\u{ad}", "enum": ["\u{200b}y"] } } }),
            json!({ "title": "ab", "properties": { "x": { "description": "text", "enum": ["y"] } } }),
        );
        check(
            json!({ "properties": { "x": { "type": "string", "pattern": "^[^\r\u{200b}]*$" } } }),
            json!({ "properties": { "x": { "type": "string", "pattern": r"^[^\u{d}\u{200b}]*$" } } }),
        );
        check(
            json!({ "description": "❤\u{fe0f} می\u{200c}خواهم" }),
            json!({ "description": "❤\u{fe0f} می\u{200c}خواهم" }),
        );
        let refused = |schema: Value, wanted: &str| {
            let error = super::schema("t", "input", &schema.to_string()).unwrap_err();
            assert!(error.message.contains(wanted), "{error}");
        };
        refused(
            json!({ "properties": { "x\u{e0041}": {} } }),
            r"the input schema of `t`: the key `x\u{e0041}` has characters that nobody sees",
        );
        refused(json!({ "default": [{ "\u{202e}": 1 }] }), r"the key `\u{202e}`");
    }

    /// What is written in another way still means the same.
    #[test]
    fn a_pattern_means_what_it_meant() {
        let schema = json!({ "properties": { "x": { "pattern": "^[^\r\u{200b}]*$" } } });
        let compiled = Schema::compile(&super::schema("t", "input", &schema.to_string()).unwrap()).unwrap();
        for (text, fits) in [
            ("abc\nd", true),
            ("u200b{}d", true),
            ("a\rb", false),
            ("a\u{200b}b", false),
        ] {
            assert_eq!(compiled.check(&json!({ "x": text })).is_ok(), fits, "{text:?}");
        }
    }

    #[test]
    fn what_a_tool_says_of_itself_is_seen() {
        let check = |key: &str, value: &str, expected: Option<&str>| {
            let found = traits("t", vec![(key.to_owned(), value.to_owned())]);
            assert_eq!(
                found.ok().map(|traits| traits.words()).as_deref(),
                expected,
                "{key} {value:?}"
            );
        };
        check("resource", "file:{/path}", Some("resource file:{/path}"));
        check("resource", "file:\u{200b}", None);
        check("resource", &"x".repeat(257), None);
        check("approval", "true", Some("approval"));
        check("approval", "yes", None);
    }
}
