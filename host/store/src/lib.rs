//! The journal: sessions, their events and what is derived from them, in one SQLite database per data directory.
//!
//! One thread writes, in groups; everybody else reads through connections of their own. This crate holds the only SQL of the
//! project, one file per family of tables. It decides nothing about runs: the agent loop says what happened, and this writes
//! it down, makes it last, and shows it to readers in that order.

mod approvals;
mod audit;
mod audit_chain;
mod blobs;
mod columns;
mod effects;
mod error;
// Seen from outside by a fuzz target alone, which reads rows without a database.
#[doc(hidden)]
pub mod event_row;
mod follow;
mod health;
mod journal;
mod kv;
mod leases;
mod live;
mod mailbox;
mod migrate;
mod open;
mod previews;
mod process;
mod queue;
mod readers;
mod redaction;
mod runs;
mod session_writer;
mod sessions;
mod store;
mod subscription;
mod suspensions;
#[cfg(test)]
mod tests;
mod workspaces;
mod writer;

pub use approvals::{ApprovalPlace, NewApproval, StandingApproval, WantedApproval};
pub use audit::AuditFilter;
pub use audit_chain::{AuditCheck, AuditHash, AuditRecord, AuditSpan};
pub use effects::{EffectKind, EffectOutcome, EffectSummary};
pub use error::{run_finished, suspension_not_found};
pub use follow::Follow;
pub use health::{FAILURES_IN_A_ROW, FAILURES_LATELY, FAILURES_WITHIN_MS, PluginHealth};
pub use kv::MAX_SPACE_BYTES;
pub use open::prepare_directory;
pub use runs::RunSummary;
pub use session_writer::SessionWriter;
pub use sessions::{NewSession, SessionParent, SessionSummary};
pub use store::{Inbox, Store, StoreOptions};
pub use subscription::Subscription;
pub use suspensions::{SuspensionState, SuspensionSummary};
pub use workspaces::{NewWorkspace, Workspace, WorkspaceKind};

/// Locks, also after another thread has panicked: every critical section of this crate leaves its data whole.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
