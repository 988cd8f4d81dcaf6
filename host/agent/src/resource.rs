//! What a tool call touches, from its traits and its input.

use sandbar_protocol::ToolTraits;
use serde_json::Value;

/// How a call uses a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// None: the whole workspace.
    key: Option<Key>,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Touches nothing that another call could.
    Bystander,
    Reader,
    Writer,
    /// Never beside any other call.
    Exclusive,
}

/// A normalised resource key: kind and the parts of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    kind: String,
    parts: Vec<String>,
}

/// Whether two calls, each with its tool's traits and its input, would wait for each other. For who tries to break the keys.
#[doc(hidden)]
pub fn calls_conflict(one: (&ToolTraits, &Value), other: (&ToolTraits, &Value)) -> bool {
    Access::of(one.0, one.1).conflicts_with(&Access::of(other.0, other.1))
}

impl Access {
    /// A reader without a key shares the whole workspace; a writer without one has it for itself.
    pub(crate) fn of(traits: &ToolTraits, input: &Value) -> Self {
        let key = traits
            .resource
            .as_deref()
            .and_then(|template| Key::from_template(template, input));
        let mode = match (traits.exclusive, traits.read_only) {
            (true, _) => Mode::Exclusive,
            _ if key.is_none() && !traits.touches_workspace => Mode::Bystander,
            (false, true) => Mode::Reader,
            (false, false) => Mode::Writer,
        };
        Self { key, mode }
    }

    pub(crate) fn conflicts_with(&self, other: &Self) -> bool {
        match (self.mode, other.mode) {
            (Mode::Exclusive, _) | (_, Mode::Exclusive) => true,
            (Mode::Bystander, _) | (_, Mode::Bystander) | (Mode::Reader, Mode::Reader) => false,
            _ => match (&self.key, &other.key) {
                (Some(one), Some(other)) => one.overlaps(other),
                _ => true,
            },
        }
    }
}

impl Key {
    /// Fills JSON Pointers in braces with values of the input: `file:{/path}`. What is missing counts as empty, which is the root of the
    /// kind and so conflicts with all of it.
    fn from_template(template: &str, input: &Value) -> Option<Self> {
        let (kind, mut rest) = template.split_once(':')?;
        let mut path = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (pointer, after) = after.split_once('}')?;
            path.push_str(before);
            match input.pointer(pointer) {
                Some(Value::String(text)) => path.push_str(text),
                Some(Value::Null) | None => {}
                Some(other) => path.push_str(&other.to_string()),
            }
            rest = after;
        }
        path.push_str(rest);
        Some(Self {
            kind: kind.to_owned(),
            parts: normal(&path),
        })
    }

    /// The same, or one under the other.
    fn overlaps(&self, other: &Self) -> bool {
        self.kind == other.kind && self.parts.iter().zip(&other.parts).all(|(one, other)| one == other)
    }
}

/// The parts of a path without `.`, `..` and empty ones. Case is folded, since two names may be one file on some systems: locking too
/// much costs a little time, too little an order.
fn normal(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part.to_lowercase()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access(read_only: bool, path: &str) -> Access {
        let traits = ToolTraits {
            read_only,
            resource: Some("file:{/path}".to_owned()),
            ..ToolTraits::default()
        };
        Access::of(&traits, &json!({ "path": path }))
    }

    #[test]
    fn conflicts() {
        let cases = [
            ((true, "a"), (true, "a"), false),
            ((false, "a"), (true, "a"), true),
            ((false, "a"), (false, "b"), false),
            ((false, "a"), (false, "./x/../A/"), true),
            ((false, "docs"), (true, "docs/a.md"), true),
            ((false, "doc"), (true, "docs"), false),
            ((true, "."), (false, "deep/down"), true),
        ];
        for ((read_one, one), (read_other, other), expected) in cases {
            let (one, other) = (access(read_one, one), access(read_other, other));
            assert_eq!(one.conflicts_with(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.conflicts_with(&one), expected, "{other:?} {one:?}");
        }
        let writer = ToolTraits {
            touches_workspace: true,
            ..ToolTraits::default()
        };
        let keyless = Access::of(&writer, &json!({}));
        assert!(keyless.conflicts_with(&access(true, "a")));
        let bystander = Access::of(&ToolTraits::default(), &json!({}));
        assert!(!bystander.conflicts_with(&keyless) && !bystander.conflicts_with(&bystander));
        let exclusive = ToolTraits {
            exclusive: true,
            ..ToolTraits::default()
        };
        assert!(Access::of(&exclusive, &json!({})).conflicts_with(&bystander));
        let other_kind = ToolTraits {
            resource: Some("row:{/n}".to_owned()),
            ..ToolTraits::default()
        };
        assert!(!Access::of(&other_kind, &json!({ "n": 7 })).conflicts_with(&access(false, "7")));
    }
}
