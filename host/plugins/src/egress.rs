//! The one way out: every request of a plugin passes here, whichever interface it used.
//!
//! A request is decided (`sandbar_protocol::policy`), its name is resolved once and each address checked, the connection goes to these
//! addresses and no other, secrets are added on the way out, and whatever comes back is searched for them. Nothing here reads a URL by
//! itself: `Target` has taken it apart.

mod caller;
mod failure;
mod gate;
mod headers;
mod inject;
mod redact;
mod redirect;
mod request;
mod resolve;
mod settings;
mod transport;

use std::sync::Arc;

use sandbar_protocol::{Error, ErrorKind, Result};

pub(crate) use caller::Caller;
pub(crate) use failure::Failure;
pub(crate) use gate::Held;
pub(crate) use headers::can_hold_secret;
pub(crate) use request::{Request, Response, method};
pub use resolve::Resolver;
pub use settings::EgressSettings;

use gate::Gate;
use transport::Transport;

/// What all requests of a host share.
#[derive(Debug)]
pub(crate) struct Egress {
    pub(crate) settings: EgressSettings,
    gate: Arc<Gate>,
    transport: Transport,
}

impl Egress {
    pub(crate) fn new(settings: EgressSettings) -> Result<Arc<Self>> {
        let transport = Transport::new(settings.proxy.as_deref()).map_err(|error| {
            // The address may hold a password.
            Error::new(ErrorKind::Config, "bad-proxy", "the proxy's address can't be used")
                .with_hint("write it as in `http://proxy.example.com:3128`")
                .with_source(error.without_url())
        })?;
        Ok(Arc::new(Self {
            settings,
            gate: Arc::default(),
            transport,
        }))
    }

    /// To hold a body that a plugin writes piece by piece.
    pub(crate) fn hold(&self) -> Held {
        self.gate.hold()
    }
}
