//! Tools over `kv`: what is kept, and what is refused. An error is told as its code alone.

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Context, Error, Tool, kv};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![
        Tool::new("get", get).description("Reads a key."),
        Tool::new("set", set).description("Keeps a value."),
        Tool::new("delete", delete).description("Takes a key away."),
        Tool::new("keys", keys).description("Lists keys."),
        Tool::new("fill", fill).description("Keeps values until that is refused."),
        Tool::new("hammer", hammer).description("Reads until that is refused."),
    ]
}

#[derive(serde::Deserialize, JsonSchema)]
struct Input {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
    after: Option<String>,
    /// Bytes of each value, or calls, or keys.
    #[serde(default)]
    n: u32,
}

fn told<T>(result: Result<T, Error>, tell: impl FnOnce(T) -> String) -> Result<String, Error> {
    Ok(result.map_or_else(|error| error.code, tell))
}

fn get(input: Input, _context: &Context) -> Result<String, Error> {
    told(kv::get(&input.key), |value| match value {
        Some(value) => format!("= {}", String::from_utf8_lossy(&value)),
        None => "none".to_owned(),
    })
}

fn set(input: Input, _context: &Context) -> Result<String, Error> {
    let value = if input.n > 0 {
        "x".repeat(input.n as usize)
    } else {
        input.value
    };
    told(kv::set(&input.key, value), |()| "kept".to_owned())
}

fn delete(input: Input, _context: &Context) -> Result<String, Error> {
    told(kv::delete(&input.key), |()| "gone".to_owned())
}

fn keys(input: Input, _context: &Context) -> Result<String, Error> {
    told(kv::keys(&input.key, input.after.as_deref(), input.n), |page| {
        format!("{}{}", page.keys.join(" "), if page.more { " and more" } else { "" })
    })
}

fn fill(input: Input, _context: &Context) -> Result<String, Error> {
    let value = vec![b'x'; input.n as usize];
    let mut kept = 0;
    loop {
        match kv::set(&format!("fill/{kept}"), &value) {
            Ok(()) => kept += 1,
            Err(error) => return Ok(format!("{kept} then {}", error.code)),
        }
    }
}

fn hammer(_input: Input, _context: &Context) -> Result<String, Error> {
    let mut calls = 0;
    loop {
        match kv::get("key") {
            Ok(_) => calls += 1,
            Err(error) => return Ok(format!("{calls} then {}", error.code)),
        }
    }
}
