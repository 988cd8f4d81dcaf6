//! The seam to memories: what an agent keeps beyond a conversation (`wit/memory.wit` is the contract that plugin authors read).

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, RunId, SessionId};

/// Something that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryEntry {
    /// Names it in this memory.
    pub id: String,
    /// What is remembered.
    pub text: String,
    /// What else the plugin says of it; absent without any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a memory is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryOperation {
    /// What fits a text.
    Recall {
        query: String,
    },
    /// Keeps what may be of use of a turn that is over.
    Commit {
        request: String,
        reply: String,
    },
    /// An entry without an id is new; one with an id replaces what was there.
    Remember {
        entry: MemoryEntry,
    },
    Forget {
        id: String,
    },
    /// Entries after the one with this id, in the plugin's own order.
    List {
        after: Option<String>,
        limit: u32,
    },
}

/// The word for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryOp {
    /// At the beginning of a run: what fits the user's message.
    Recall,
    /// At the end of a run that has finished: the message and the answer.
    Commit,
    /// Keeps an entry.
    Remember,
    /// Drops an entry.
    Forget,
    /// Shows entries.
    List,
}

/// What an operation gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryOutput {
    /// What was recalled or listed; absent without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<MemoryEntry>,
    /// The entry that was remembered; absent for other operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where the next page of a list begins; absent at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How a memory operation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryOutcome {
    /// What the memory gave; absent if it failed.
    Output(MemoryOutput),
    /// Why there is no output; absent if there is one.
    Error(Error),
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryCaller {
    pub session: SessionId,
    /// None: a person or a program, without a run.
    pub run: Option<RunId>,
}

/// What an agent remembers with. Its failure is told and never ends a run.
pub trait Memory: Send + Sync + std::fmt::Debug {
    /// The plugin's name in the configuration.
    fn name(&self) -> &str;

    /// Whether committing the same turn twice is the same as once.
    fn commits_idempotently(&self) -> bool;

    fn call(&self, operation: MemoryOperation, caller: MemoryCaller) -> BoxFuture<'static, Result<MemoryOutput>>;
}

impl MemoryOperation {
    pub fn op(&self) -> MemoryOp {
        match self {
            Self::Recall { .. } => MemoryOp::Recall,
            Self::Commit { .. } => MemoryOp::Commit,
            Self::Remember { .. } => MemoryOp::Remember,
            Self::Forget { .. } => MemoryOp::Forget,
            Self::List { .. } => MemoryOp::List,
        }
    }

    /// Everything that it says, as one text: what a journal digests.
    pub fn input(&self) -> String {
        match self {
            Self::Recall { query } => query.clone(),
            Self::Commit { request, reply } => format!("{request}\n\n{reply}"),
            Self::Remember { entry } => format!("{}\n{}", entry.id, entry.text),
            Self::Forget { id } => id.clone(),
            Self::List { after, limit } => format!("{} {limit}", after.as_deref().unwrap_or_default()),
        }
    }
}

impl MemoryOp {
    /// As it is in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recall => "recall",
            Self::Commit => "commit",
            Self::Remember => "remember",
            Self::Forget => "forget",
            Self::List => "list",
        }
    }

    /// Whether it changes nothing: the host gives it nothing to change things with.
    pub fn only_looks(self) -> bool {
        matches!(self, Self::Recall | Self::List)
    }
}
