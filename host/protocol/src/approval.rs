//! Asking a person before a tool changes something.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

/// One call that waits for a person's word.
#[derive(Debug, Clone)]
pub struct ApprovalRequest {
    pub call_id: String,
    /// `<plugin>__<tool>`.
    pub tool: String,
    pub arguments: Arc<Value>,
    pub destructive: bool,
    /// What the tool says it would change, as a unified diff where it can; it was asked in an instance that can't write.
    pub preview: Option<String>,
}

/// A person's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    Allow,
    /// The model reads the reason.
    Deny {
        reason: String,
    },
}

/// Asks; the call waits, the run's clock does not run.
pub type Approver = Arc<dyn Fn(ApprovalRequest) -> BoxFuture<'static, Approval> + Send + Sync>;
