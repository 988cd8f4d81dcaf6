//! How a component differs from the one that was approved under its name: in what it can ask for, and in what models read of it.

use std::collections::{BTreeMap, BTreeSet};

use sandbar_protocol::manifest::Kind;
use sandbar_protocol::{Error, ErrorKind, ToolSpec};
use serde::Serialize;

use crate::locked::{Locked, declared};

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
    /// Another patch version of WASI 0.2 is no difference: it names the same powers.
    pub imports: Lines,
    pub requests: Lines,
    pub tools: Lines,
    /// The tools that are new.
    pub new_tools: Vec<NewTool>,
    /// Tools whose texts are others.
    pub changed_tools: Vec<ChangedTool>,
    /// Tools that say something else of themselves.
    pub changed_traits: Vec<ChangedTraits>,
}

/// What came, and what went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Lines {
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

/// A tool that there was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewTool {
    pub name: String,
    /// What it says of itself.
    pub traits: String,
    /// What models read of it; schemas as JSON on one line.
    pub description: String,
    pub input_schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<String>,
}

/// A tool that says something else of itself, by which it is decided whether a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedTraits {
    pub name: String,
    /// None where it was not recorded.
    pub before: Option<String>,
    pub after: String,
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

impl Waiting {
    /// What it would be used as.
    pub fn kind(&self) -> Kind {
        self.now.kind
    }
}

impl Difference {
    /// `old_tools` are the texts of then, as far as they are known.
    pub(crate) fn between(before: &Locked, now: &Locked, old_tools: &[ToolSpec], tools: &[ToolSpec]) -> Self {
        let text_of = |tools: &[ToolSpec], name: &str| find(tools, name).map(text);
        let known = |tool: &&ToolSpec| before.tools.contains_key(&tool.name);
        let new = tools.iter().filter(|tool| !known(tool)).map(|tool| NewTool {
            name: tool.name.clone(),
            traits: declared(tool),
            description: tool.description.clone(),
            input_schema: tool.input_schema.to_string(),
            output_schema: tool.output_schema.as_ref().map(ToString::to_string),
        });
        let traits = tools.iter().filter(known).map(|tool| ChangedTraits {
            name: tool.name.clone(),
            before: match before.traits.get(&tool.name) {
                Some(words) => Some(words.clone()),
                None => find(old_tools, &tool.name).map(declared),
            },
            after: declared(tool),
        });
        let changed = now.tools.iter().filter(|(name, digest)| {
            let known = before.tools.get(*name);
            known.is_some_and(|known| known != *digest)
        });
        Self {
            replaces_bundled: false,
            digest: (before.digest != now.digest).then(|| (before.digest.clone(), now.digest.clone())),
            kind: (before.kind != now.kind).then_some((before.kind, now.kind)),
            imports: Lines::by(power, &before.imports, &now.imports),
            requests: Lines::between(&before.requests, &now.requests),
            tools: Lines::between(before.tools.keys(), now.tools.keys()),
            new_tools: new.collect(),
            changed_traits: traits
                .filter(|traits| traits.before.as_ref() != Some(&traits.after))
                .collect(),
            changed_tools: changed
                .map(|(name, _)| ChangedTool {
                    name: name.clone(),
                    before: text_of(old_tools, name),
                    after: text_of(tools, name).unwrap_or_default(),
                })
                .collect(),
        }
    }

    /// A file in the place of a bundled plugin: all that it has is new, and the grants for that name would be its.
    pub(crate) fn in_place_of_bundled(now: &Locked, tools: &[ToolSpec]) -> Self {
        let nothing = Locked {
            imports: Vec::new(),
            requests: Vec::new(),
            tools: BTreeMap::new(),
            traits: BTreeMap::new(),
            ..now.clone()
        };
        Self {
            replaces_bundled: true,
            ..Self::between(&nothing, now, &[], tools)
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
        if !self.changed_traits.is_empty() {
            parts.push("its tools say something else of themselves".to_owned());
        }
        if !self.replaces_bundled && (!self.changed_tools.is_empty() || self.tools != Lines::default()) {
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
        Self::by(|line| line, before, now)
    }

    /// Lines of the same meaning are no difference.
    fn by<'a>(
        meaning: fn(&str) -> &str,
        before: impl IntoIterator<Item = &'a String>,
        now: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let (before, now): (BTreeSet<_>, BTreeSet<_>) = (before.into_iter().collect(), now.into_iter().collect());
        let without = |lines: &BTreeSet<&String>, others: &BTreeSet<&String>| {
            let others: BTreeSet<&str> = others.iter().map(|line| meaning(line)).collect();
            let lines = lines.iter().filter(|line| !others.contains(meaning(line)));
            lines.map(|line| (*line).clone()).collect()
        };
        Self {
            added: without(&now, &before),
            removed: without(&before, &now),
        }
    }
}

/// What an import stands for. WASI 0.2 adds no power in a patch version, and the host links the same to all of them; a pre-release may be
/// anything.
fn power(import: &str) -> &str {
    const VERSION: &str = "@0.2";
    let Some((interface, patch)) = import.split_once("@0.2.") else {
        return import;
    };
    let is_patch = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
    match interface.starts_with("wasi:") && is_patch {
        true => &import[..interface.len() + VERSION.len()],
        false => import,
    }
}

fn find<'a>(tools: &'a [ToolSpec], name: &str) -> Option<&'a ToolSpec> {
    tools.iter().find(|tool| tool.name == name)
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

#[cfg(test)]
mod tests {
    use sandbar_protocol::ToolTraits;
    use serde_json::json;

    use super::*;

    fn tool(name: &str, traits: ToolTraits) -> ToolSpec {
        ToolSpec {
            name: name.to_owned(),
            description: "tells the weather".to_owned(),
            input_schema: json!({ "type": "object" }),
            output_schema: None,
            traits,
        }
    }

    fn locked(imports: &[&str], tools: &[ToolSpec]) -> Locked {
        let imports: Vec<String> = imports.iter().map(|import| (*import).to_owned()).collect();
        Locked::of(&"ab".repeat(32), Kind::Tool, &imports, None, tools)
    }

    #[test]
    fn a_patch_of_wasi_is_no_difference() {
        let check = |before: &[&str], now: &[&str], added: &[&str], removed: &[&str]| {
            let difference = Difference::between(&locked(before, &[]), &locked(now, &[]), &[], &[]);
            assert_eq!(difference.imports.added, added, "{before:?} {now:?}");
            assert_eq!(difference.imports.removed, removed, "{before:?} {now:?}");
            assert_eq!(difference.is_wider(), !added.is_empty(), "{before:?} {now:?}");
        };
        check(
            &["wasi:io/poll@0.2.12", "wasi:cli/stdout@0.2.12"],
            &["wasi:io/poll@0.2.6", "wasi:cli/stdout@0.2.6", "wasi:io/poll@0.2.12"],
            &[],
            &[],
        );
        check(
            &["wasi:io/poll@0.2.12"],
            &["wasi:http/outgoing-handler@0.2.12", "wasi:io/poll@0.2.3"],
            &["wasi:http/outgoing-handler@0.2.12"],
            &[],
        );
        for (before, now) in [
            ("wasi:io/poll@0.2.0", "wasi:io/poll@0.3.0"),
            ("wasi:io/poll@0.2.0", "wasi:io/poll@0.2.0-rc-2023-11-10"),
            ("wasi:io/poll", "wasi:io/poll@0.2.0"),
            ("sandbar:plugin/http@0.2.0", "sandbar:plugin/http@0.2.1"),
        ] {
            check(&[before], &[now], &[now], &[before]);
        }
    }

    #[test]
    fn what_decides_whether_a_person_is_asked_is_a_difference() {
        let asks = ToolTraits {
            approval: true,
            ..ToolTraits::default()
        };
        let (before, now) = ([tool("pay", asks)], [tool("pay", ToolTraits::default())]);
        let unrecorded = Locked {
            traits: BTreeMap::new(),
            ..locked(&[], &before)
        };
        let check = |before: &Locked, old_tools: &[ToolSpec], expected: Option<&str>| {
            let difference = Difference::between(before, &locked(&[], &now), old_tools, &now);
            let expected = ChangedTraits {
                name: "pay".to_owned(),
                before: expected.map(str::to_owned),
                after: "nothing".to_owned(),
            };
            assert_eq!(difference.changed_traits, [expected]);
            assert_eq!(difference.summary(), "its tools say something else of themselves");
        };
        check(&locked(&[], &before), &[], Some("approval"));
        check(&unrecorded, &before, Some("approval"));
        check(&unrecorded, &[], None);
        let same = Difference::between(&locked(&[], &now), &locked(&[], &now), &[], &now);
        assert_eq!(same.changed_traits, []);
    }

    #[test]
    fn all_of_a_file_in_the_place_of_a_bundled_plugin_is_new() {
        let tools = [tool("pay", ToolTraits::default())];
        let difference = Difference::in_place_of_bundled(&locked(&["wasi:io/poll@0.2.6"], &tools), &tools);
        assert_eq!(difference.imports.added, ["wasi:io/poll@0.2.6"]);
        assert_eq!(difference.requests.added, ["whatever is granted: it has no manifest"]);
        let [new] = &difference.new_tools[..] else {
            panic!("{difference:?}");
        };
        assert_eq!((new.name.as_str(), new.traits.as_str()), ("pay", "nothing"));
        assert_eq!(
            (new.description.as_str(), new.input_schema.as_str()),
            ("tells the weather", r#"{"type":"object"}"#)
        );
        assert_eq!(difference.summary(), "it takes the place of a bundled plugin");
    }
}
