//! The words that every crate shares: ids, messages, events, requests and results, errors, and the few traits between spokes.
//!
//! No I/O and no async runtime. `docs/ARCHITECTURE.md` says which crate does what with them.

mod clock;
mod error;
mod event;
mod ids;
mod kill;
mod message;
mod model;
mod pattern;
mod run;
mod schema;
mod suspension;
mod tool;

pub use clock::{Clock, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use event::{Delta, DeltaKind, Event, EventBody, RunSetup, StreamItem, ToolOutcome};
pub use ids::{RunId, SessionId, SuspensionId, WorkspaceId};
pub use kill::{KILL_POINTS, kill_point};
#[cfg(feature = "kill-points")]
pub use kill::{arm_kill_point, drop_intents, intents_are_dropped, passages};
pub use message::{Message, Role, ToolCall};
pub use model::{Model, ModelPart, ModelReply, ModelRequest, ModelStream};
pub use pattern::{
    Action, AskAction, Change, Decision, HEAD_BYTES, History, ModelAction, OwnCall, Pattern, ToolRequest, ToolsAction,
    View, head,
};
pub use run::{Limits, RunRequest, RunResult, StopReason, Usage};
pub use schema::{MAX_JSON_DEPTH, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, Schema};
pub use suspension::{Answer, Answerers, Approval, Asker, Mend, SuspendedCall, Suspension, SuspensionKind};
pub use tool::{Artifact, FileAccess, ProgressSink, Tool, ToolInvocation, ToolOutput, ToolSpec, ToolTraits};
