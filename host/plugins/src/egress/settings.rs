//! What a program gives the egress: secrets, what must not get out, where decisions are told, and how the network is reached.

use std::fmt;
use std::sync::Arc;

use sandbar_protocol::{AuditCommit, AuditSink, Protected};

use crate::egress::resolve::Resolver;
use crate::secrets::SecretEntry;

/// Settings of the boundary between plugins and everything else. By default there are no secrets, and nobody is told.
#[derive(Clone)]
pub struct EgressSettings {
    /// Which of them a plugin may use is in its grant.
    pub secrets: Vec<SecretEntry>,
    /// Values that no plugin may be given, and that none may send: those of the secrets, and whatever else the host knows.
    pub protected: Arc<Protected>,
    pub audit: AuditSink,
    /// What a request is put down with before it is sent.
    pub audit_first: AuditCommit,
    /// As in `http://proxy.example.com:3128`. Then the proxy resolves names and is what keeps requests from private addresses; the
    /// environment is never asked for one.
    pub proxy: Option<String>,
    pub resolver: Resolver,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            protected: Arc::default(),
            audit: Arc::new(|_| {}),
            audit_first: Arc::new(|_| Box::pin(async { Ok(()) })),
            proxy: None,
            resolver: Resolver::default(),
        }
    }
}

impl fmt::Debug for EgressSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressSettings")
            .field("secrets", &self.secrets)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
