//! How a component differs from the one that was approved under its name: in what it can ask for, and in what models read of it.

use std::collections::BTreeSet;

use sandbar_protocol::manifest::Kind;
use sandbar_protocol::{Error, ErrorKind, ToolSpec};
use serde::Serialize;

use crate::lock::Locked;

/// What a person decides on. Its texts are the plugin's: whoever shows them makes them harmless.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// It would stand in the place of a plugin that the program brings along.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replaces_bundled: bool,
    /// The component itself, before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<(Kind, Kind)>,
    pub imports: Lines,
    pub requests: Lines,
    pub tools: Lines,
    /// Tools whose texts are others.
    pub changed_tools: Vec<ChangedTool>,
}

/// What came, and what went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Lines {
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

/// A tool that models read something else of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedTool {
    pub name: String,
    /// None where it isn't known any more.
    pub before: Option<String>,
    pub after: String,
}

/// A plugin that is not used until somebody approves of what it is now.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// As it would be approved.
    pub(crate) now: Locked,
    pub difference: Difference,
}

impl Difference {
    /// `old_tools` are the texts of then, as far as they are known.
    pub(crate) fn between(before: &Locked, now: &Locked, old_tools: &[ToolSpec], tools: &[ToolSpec]) -> Self {
        let text_of = |tools: &[ToolSpec], name: &str| {
            let tool = tools.iter().find(|tool| tool.name == name);
            tool.map(text)
        };
        let changed = now.tools.iter().filter(|(name, digest)| {
            let known = before.tools.get(*name);
            known.is_some_and(|known| known != *digest)
        });
        Self {
            replaces_bundled: false,
            digest: (before.digest != now.digest).then(|| (before.digest.clone(), now.digest.clone())),
            kind: (before.kind != now.kind).then_some((before.kind, now.kind)),
            imports: Lines::between(&before.imports, &now.imports),
            requests: Lines::between(&before.requests, &now.requests),
            tools: Lines::between(before.tools.keys(), now.tools.keys()),
            changed_tools: changed
                .map(|(name, _)| ChangedTool {
                    name: name.clone(),
                    before: text_of(old_tools, name),
                    after: text_of(tools, name).unwrap_or_default(),
                })
                .collect(),
        }
    }

    /// Whether it could do more than before.
    pub fn is_wider(&self) -> bool {
        self.replaces_bundled || !self.imports.added.is_empty() || !self.requests.added.is_empty()
    }

    /// In a few words.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        if self.replaces_bundled {
            parts.push("it takes the place of a bundled plugin".to_owned());
        }
        if self.is_wider() && !self.replaces_bundled {
            parts.push("it asks for more".to_owned());
        }
        if !self.changed_tools.is_empty() || self.tools != Lines::default() {
            parts.push("its tools are described in another way".to_owned());
        }
        if self.digest.is_some() {
            parts.push("it is another component".to_owned());
        }
        if parts.is_empty() {
            parts.push("it asks for something else".to_owned());
        }
        parts.join(", ")
    }

    pub(crate) fn error(&self, name: &str) -> Error {
        let message = format!("it is not what was approved: {}", self.summary());
        Error::new(ErrorKind::Denied, "plugin-changed", message).with_hint(format!(
            "`sandbar plugins approve {name}` shows the difference, and accepts it"
        ))
    }
}

impl Lines {
    fn between<'a>(before: impl IntoIterator<Item = &'a String>, now: impl IntoIterator<Item = &'a String>) -> Self {
        let (before, now): (BTreeSet<_>, BTreeSet<_>) = (before.into_iter().collect(), now.into_iter().collect());
        Self {
            added: now.difference(&before).map(|line| (*line).clone()).collect(),
            removed: before.difference(&now).map(|line| (*line).clone()).collect(),
        }
    }
}

/// What a model reads of a tool.
fn text(tool: &ToolSpec) -> String {
    let pretty = |schema| serde_json::to_string_pretty(schema).unwrap_or_default();
    let output = tool.output_schema.as_ref().map(pretty);
    let mut text = format!("{}\n{}\n", tool.description, pretty(&tool.input_schema));
    if let Some(output) = output {
        text.push_str(&output);
        text.push('\n');
    }
    text
}
