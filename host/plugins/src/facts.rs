//! What is known of a component without running it, and what it said of itself once.

use sandbar_protocol::ToolSpec;
use serde::{Deserialize, Serialize};

/// What a component is, by its exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Tool,
    Pattern,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Pattern => "pattern",
        })
    }
}

pub(crate) const TOOL_EXPORT: &str = "sandbar:plugin/tool@0.1.0";
pub(crate) const PATTERN_EXPORT: &str = "sandbar:plugin/pattern@0.1.0";

/// Read from the component's bytes by the compile worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Kept in the cache beside the code, per digest and engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    /// SHA-256 of the machine code, checked before every load.
    pub(crate) code_digest: String,
    /// A tool plugin's `describe`, with the names that the component gave.
    pub(crate) tools: Vec<ToolSpec>,
}

impl Shape {
    /// None: a component of another world.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let has = |name: &str| self.exports.iter().any(|export| export == name);
        match (has(TOOL_EXPORT), has(PATTERN_EXPORT)) {
            (true, _) => Some(Kind::Tool),
            (false, true) => Some(Kind::Pattern),
            (false, false) => None,
        }
    }
}
