//! An entry of `sandbar.lock`: what there is to approve of a component, in words and hashes that can be compared.

use std::collections::BTreeMap;

use sandbar_protocol::manifest::{Kind, Lifetime, Manifest};
use sandbar_protocol::policy::KvAccess;
use sandbar_protocol::{FileAccess, ToolSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::digest::hexadecimal;

/// What a plugin without a manifest asks for.
const WHATEVER: &str = "whatever is granted: it has no manifest";

/// A component as it was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    pub kind: Kind,
    pub approved_by: String,
    /// In UTC.
    pub approved_at: String,
    /// What it can call of the host: all that it can do.
    pub imports: Vec<String>,
    /// What its manifest requests, one power a line.
    pub requests: Vec<String>,
    /// SHA-256 of the texts of each tool: name, description and schemas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
    /// What each tool says of itself, which decides whether a person is asked. An older entry has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, String>,
}

impl Locked {
    /// What there is to approve of a component.
    pub(crate) fn of(
        digest: &str,
        kind: Kind,
        imports: &[String],
        manifest: Option<&Manifest>,
        tools: &[ToolSpec],
    ) -> Self {
        let mut imports = imports.to_vec();
        imports.sort();
        Self {
            digest: digest.to_owned(),
            kind,
            approved_by: String::new(),
            approved_at: String::new(),
            imports,
            requests: requests(manifest),
            tools: tools
                .iter()
                .map(|tool| (tool.name.clone(), text_digest(tool)))
                .collect(),
            traits: tools.iter().map(|tool| (tool.name.clone(), declared(tool))).collect(),
        }
    }

    #[must_use]
    pub(crate) fn approved(self, by: &str, at: String) -> Self {
        Self {
            approved_by: by.to_owned(),
            approved_at: at,
            ..self
        }
    }

    /// Whether what is there now was approved, whoever did it. Traits that are not in the entry count as those that there are: it is the
    /// same component.
    pub(crate) fn is_same(&self, now: &Self) -> bool {
        let facts = |locked: &Self| Self {
            traits: BTreeMap::new(),
            ..locked.clone().approved("", String::new())
        };
        let has = |(tool, words): (&String, &String)| now.traits.get(tool) == Some(words);
        facts(self) == facts(now) && self.traits.iter().all(has)
    }

    /// Whether it was written before traits were recorded.
    pub(crate) fn lacks_traits(&self) -> bool {
        self.tools.keys().any(|tool| !self.traits.contains_key(tool))
    }
}

/// One power a line.
pub(crate) fn requests(manifest: Option<&Manifest>) -> Vec<String> {
    let Some(manifest) = manifest else {
        return vec![WHATEVER.to_owned()];
    };
    let powers = &manifest.requests;
    let mut lines: Vec<String> = powers.http.iter().map(|rule| format!("http {rule}")).collect();
    lines.extend(powers.secrets.iter().map(|secret| format!("secret {secret}")));
    let files = match powers.files {
        FileAccess::None => None,
        FileAccess::ReadOnly => Some("files read-only"),
        FileAccess::ReadWrite => Some("files read-write"),
    };
    let kv = match powers.kv {
        KvAccess::None => None,
        KvAccess::Session => Some("kv session"),
        KvAccess::Shared => Some("kv shared"),
    };
    let instance = (manifest.lifetime == Lifetime::Session).then_some("an instance for a session");
    lines.extend([files, kv, instance].into_iter().flatten().map(str::to_owned));
    lines.sort();
    lines
}

/// What a tool says of itself, in words.
pub(crate) fn declared(tool: &ToolSpec) -> String {
    let words = tool.traits.words();
    if words.is_empty() { "nothing".to_owned() } else { words }
}

/// The texts of a tool that a model reads, with their lengths, so that no two tools read the same.
fn text_digest(tool: &ToolSpec) -> String {
    let mut hash = Sha256::new();
    let output = tool.output_schema.as_ref().map(canonical).unwrap_or_default();
    for text in [&tool.name, &tool.description, &canonical(&tool.input_schema), &output] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hexadecimal(&hash.finalize())
}

/// JSON with the keys of each object in their order, however it was read.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let fields = sorted
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    fn tool(description: &str, input_schema: Value) -> ToolSpec {
        ToolSpec {
            name: "forecast".to_owned(),
            description: description.to_owned(),
            input_schema,
            output_schema: None,
            traits: sandbar_protocol::ToolTraits {
                read_only: true,
                approval: true,
                ..sandbar_protocol::ToolTraits::default()
            },
        }
    }

    pub(crate) fn locked() -> Locked {
        let manifest =
            Manifest::parse("[requests]\nfiles = 'read-only'\nsecrets = ['key']\nkv = 'shared'", "x").unwrap();
        let imports = ["wasi:io/poll@0.2.6".to_owned(), "sandbar:plugin/http@0.1.0".to_owned()];
        let digest = "ab".repeat(32);
        let tools = [tool("tells the weather", json!({ "type": "object" }))];
        Locked::of(&digest, Kind::Tool, &imports, Some(&manifest), &tools)
            .approved("ada", "2026-01-31T09:05:00Z".to_owned())
    }

    #[test]
    fn tools_are_told_apart_by_what_a_model_reads() {
        let base = text_digest(&tool("a", json!({ "type": "object", "title": "t" })));
        assert_eq!(base, text_digest(&tool("a", json!({ "title": "t", "type": "object" }))));
        assert_ne!(base, text_digest(&tool("b", json!({ "type": "object", "title": "t" }))));
        assert_ne!(base, text_digest(&tool("a", json!({ "type": "object", "title": "u" }))));
        let renamed = ToolSpec {
            name: "other".to_owned(),
            ..tool("a", json!({ "type": "object", "title": "t" }))
        };
        assert_ne!(base, text_digest(&renamed));
    }

    /// What decides whether a person is asked is a part of what was approved; an entry of before counts as what there is.
    #[test]
    fn traits_are_compared_where_they_were_recorded() {
        let with = |words: Option<&str>| Locked {
            traits: words
                .iter()
                .map(|words| ("forecast".to_owned(), (*words).to_owned()))
                .collect(),
            ..locked()
        };
        let check = |before: Option<&str>, now: &str, same: bool| {
            assert_eq!(with(before).is_same(&with(Some(now))), same, "{before:?} {now}");
        };
        check(Some("approval"), "approval", true);
        check(Some("approval"), "nothing", false);
        check(Some("nothing"), "read-only", false);
        check(None, "read-only", true);
        assert!(with(None).lacks_traits());
        assert!(!with(Some("nothing")).lacks_traits());
        let other = Locked {
            digest: "cd".repeat(32),
            ..with(None)
        };
        assert!(!other.is_same(&with(Some("nothing"))));
    }

    #[test]
    fn requests_are_lines() {
        let check = |text: &str, expected: &[&str]| {
            let manifest = Manifest::parse(text, "x").unwrap();
            assert_eq!(requests(Some(&manifest)), expected, "{text}");
        };
        check("", &[]);
        check(
            "lifetime = 'session'\n[requests]\nfiles = 'read-write'",
            &["an instance for a session", "files read-write"],
        );
        check(
            "[requests]\nhttp = ['https://api.example.com/v1/']\nkv = 'session'",
            &["http GET, HEAD https://api.example.com/v1/", "kv session"],
        );
        assert_eq!(requests(None), [WHATEVER]);
    }
}
