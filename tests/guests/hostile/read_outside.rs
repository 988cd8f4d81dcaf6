//! Tries to read a file outside of the workspace, by the name it is given or through a link that it makes.

use std::fs;

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Context, Error, Tool};
use serde::Deserialize;

sandbar_sdk::tool_plugin!(tools);

/// Reads a file by any name.
#[derive(Deserialize, JsonSchema)]
struct ReadAny {
    path: String,
    /// Make a link with this target at `path` first.
    #[serde(default)]
    link_to: Option<String>,
}

fn tools() -> Vec<Tool> {
    vec![Tool::new("read", read)]
}

fn read(input: ReadAny, _: &Context) -> Result<String, Error> {
    if let Some(target) = &input.link_to {
        link(target, &input.path)?;
    }
    match fs::read(&input.path) {
        Ok(content) => Ok(String::from_utf8_lossy(&content).into_owned()),
        Err(error) => Err(Error::new("refused", format!("`{}` was not read: {error}", input.path))),
    }
}

#[cfg(target_arch = "wasm32")]
fn link(target: &str, name: &str) -> Result<(), Error> {
    let directories = wasip2::filesystem::preopens::get_directories();
    let Some((root, _)) = directories.into_iter().next() else {
        return Err(Error::new("refused", "there is no directory to make a link in"));
    };
    root.symlink_at(target, name.trim_start_matches('/')).map_err(|code| {
        Error::new(
            "refused",
            format!("the link to `{target}` was not made: {}", code.name()),
        )
    })
}

#[cfg(not(target_arch = "wasm32"))]
fn link(target: &str, _name: &str) -> Result<(), Error> {
    Err(Error::new(
        "refused",
        format!("the link to `{target}` was not made: not in WebAssembly"),
    ))
}
