//! Asks a tool component what its tools are, once per digest, and checks the answer: it goes into every request to the model.

use std::collections::BTreeSet;
use std::sync::Arc;

use sandbar_protocol::{Result, Schema, ToolSpec, ToolTraits};
use serde_json::Value;

use crate::bindings::tool::exports::sandbar::plugin::tool as wit;
use crate::error::broken;
use crate::facts::MemoryTraits;
use crate::guest::{Call, CallPorts, CallSetup, Powers};
use crate::host::Host;
use crate::limits::{GuestLimits, MAX_DESCRIPTION_BYTES, MAX_TOOL_NAME_BYTES, MAX_TOOLS};
use crate::output::is_harmless;
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
        // Its limits are not the configured ones, so that a hint to raise those would mislead.
        error
            .told(|message| format!("in `describe`: {message}"))
            .with_hint("mend the plugin: `describe` has nothing to do but to hand over constants")
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
        description: spec.description.chars().filter(|c| is_harmless(*c)).collect(),
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
    if !schema.is_object() {
        return Err(explain("not a JSON object".to_owned()));
    }
    match Schema::compile(&schema) {
        Ok(_) => Ok(schema),
        Err(error) => Err(explain(error.message)),
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
            "resource" if value.len() <= 256 => traits.resource = Some(value),
            "resource" => return Err(wrong("at most 256 bytes")),
            "timeout-ms" => traits.timeout_ms = Some(value.parse().map_err(|_| wrong("milliseconds"))?),
            _ => {}
        }
    }
    Ok(traits)
}

fn bad(why: String) -> sandbar_protocol::Error {
    broken("bad-describe", why).with_hint("see `tool-spec` in wit/tool.wit for what a tool may say of itself")
}
