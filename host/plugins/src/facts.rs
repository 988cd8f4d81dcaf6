//! What is known of a component without running it, and what it said of itself once.

use sandbar_protocol::ToolSpec;
use sandbar_protocol::manifest::Kind;
use serde::{Deserialize, Serialize};

pub(crate) const TOOL_EXPORT: &str = "sandbar:plugin/tool@0.1.0";
pub(crate) const PATTERN_EXPORT: &str = "sandbar:plugin/pattern@0.1.0";
pub(crate) const MEMORY_EXPORT: &str = "sandbar:plugin/memory@0.1.0";

/// Raised where an answer to `describe` is read in another way: what was kept of one before is not taken then.
pub(crate) const READING: u32 = 2;

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
    /// A memory's `describe`.
    #[serde(default)]
    pub(crate) memory: MemoryTraits,
}

/// What a memory says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryTraits {
    /// Committing the same turn of the same run twice is the same as once.
    pub idempotent_commit: bool,
}

impl Shape {
    /// None: a component of another world.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let has = |name: &str| self.exports.iter().any(|export| export == name);
        // The first that fits: a component is of one kind.
        let kinds = [
            (TOOL_EXPORT, Kind::Tool),
            (PATTERN_EXPORT, Kind::Pattern),
            (MEMORY_EXPORT, Kind::Memory),
        ];
        kinds.into_iter().find(|(export, _)| has(export)).map(|(_, kind)| kind)
    }
}
