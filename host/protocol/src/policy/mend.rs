//! The lines of TOML that would allow what was refused.

use super::power::{KvAccess, Rule};
use crate::FileAccess;

/// Lines for the operator's configuration.
pub(super) fn config(plugin: &str, lines: &str) -> String {
    format!("# in sandbar.toml\n[grants.{}]\n{lines}", key(plugin))
}

/// The same for one tool of the plugin.
pub(super) fn tool_config(plugin: &str, tool: &str, lines: &str) -> String {
    format!(
        "# in sandbar.toml\n[grants.{}.tools.{}]\n{lines}",
        key(plugin),
        key(tool)
    )
}

/// Lines for whoever writes the plugin. With them it isn't what was approved any more.
pub(super) fn manifest(plugin: &str, lines: &str) -> String {
    format!("# in the plugin's manifest, and then approve that: sandbar plugins approve {plugin}\n[requests]\n{lines}")
}

/// A comment above lines that open more than they seem to.
pub(super) fn careful(what: &str, lines: &str) -> String {
    format!("# careful: {what}\n{lines}")
}

/// A list of things that are TOML already.
pub(super) fn list(name: &str, items: impl Iterator<Item = String>) -> String {
    format!("{name} = [{}]", items.collect::<Vec<_>>().join(", "))
}

/// Rules by what they are for.
pub(super) fn rules<'a>(name: &str, rules: impl Iterator<Item = (&'a str, Rule)>) -> String {
    let rules: Vec<String> = rules.map(|(key, rule)| format!("{key} = \"{rule}\"")).collect();
    format!("{name} = {{ {} }}", rules.join(", "))
}

pub(super) fn files(access: FileAccess) -> &'static str {
    match access {
        FileAccess::None => "none",
        FileAccess::ReadOnly => "read-only",
        FileAccess::ReadWrite => "read-write",
    }
}

pub(super) fn kv(access: KvAccess) -> &'static str {
    match access {
        KvAccess::None => "none",
        KvAccess::Session => "session",
        KvAccess::Shared => "shared",
    }
}

/// A string in quotes.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A key, in quotes where it needs them.
fn key(text: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !text.is_empty() && text.bytes().all(is_bare) {
        text.to_owned()
    } else {
        string(text)
    }
}
