//! The words that every crate shares: ids, messages, events, requests and results, errors, and the few traits between spokes.
//!
//! No I/O and no async runtime. `docs/ARCHITECTURE.md` says which crate does what with them.

mod audit;
mod authority;
mod clock;
mod delegation;
mod denial;
mod error;
mod event;
mod ids;
mod kill;
mod kv;
pub mod manifest;
mod memory;
mod message;
mod model;
mod pattern;
pub mod policy;
mod preview;
mod protected;
mod run;
mod run_setup;
mod schema;
mod schema_cost;
mod suspension;
mod tool;
mod tool_powers;
mod unseen;

pub use audit::{AuditCommit, AuditDecision, AuditEntry, AuditSink, DecidedBy};
pub use authority::{Authority, Requests};
pub use clock::{Clock, SystemClock, utc};
pub use delegation::{ChildRun, DelegateOutcome, MAX_DELEGATION_DEPTH, ParentRun};
pub use denial::{Denial, DenialSink};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventBody, StreamItem, ToolOutcome};
pub use ids::{RunId, SessionId, SuspensionId, WorkspaceId};
pub use kill::{KILL_POINTS, kill_point};
#[cfg(feature = "kill-points")]
pub use kill::{arm_kill_point, drop_intents, intents_are_dropped, passages};
pub use kv::{KeyValues, KvCall, KvReply, KvScope, KvSpace, MAX_KEY_BYTES, MAX_VALUE_BYTES, key_problem};
pub use memory::{Memory, MemoryCaller, MemoryEntry, MemoryOp, MemoryOperation, MemoryOutcome, MemoryOutput};
pub use message::{Message, Role, ToolCall};
pub use model::{Model, ModelPart, ModelReply, ModelRequest, ModelStream};
pub use pattern::{
    Action, AskAction, Change, Decision, HEAD_BYTES, History, ModelAction, OwnCall, Pattern, ToolRequest, ToolsAction,
    View, head,
};
pub use preview::{Delta, DeltaKind};
pub use protected::{Leak, MIN_PROTECTED_BYTES, Protected, REDACTED};
pub use run::{Limits, RunRequest, RunResult, StopReason, Usage};
pub use run_setup::RunSetup;
pub use schema::{MAX_JSON_DEPTH, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, Schema};
pub use suspension::{Answer, Answerers, Approval, Asker, Mend, SuspendedCall, Suspension, SuspensionKind};
pub use tool::{Artifact, FileAccess, ProgressSink, Tool, ToolInvocation, ToolOutput, ToolSpec, ToolTraits};
pub use tool_powers::{Reachable, ToolPowers};
pub use unseen::{is_unseen, with_unseen_escaped, with_unseen_replaced, without_unseen};
