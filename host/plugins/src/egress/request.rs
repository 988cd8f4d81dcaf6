//! A request and a response as plugins know them: before secrets are added, after they were taken out.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::egress::failure::Failure;
use crate::egress::gate::Held;
use crate::limits::{MAX_REDIRECTS, MAX_REQUEST_BYTES, REQUEST_TIME};

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// As the plugin wrote it.
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) patience: Duration,
    /// How many are followed.
    pub(crate) redirects: u8,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Where it came from, without secrets.
    pub(crate) url: String,
    /// Counts the body as long as the host has it.
    pub(crate) held: Held,
}

impl Request {
    pub(crate) fn new(method: Method, url: String) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            patience: REQUEST_TIME,
            redirects: MAX_REDIRECTS,
        }
    }

    /// What can be said without knowing who asks.
    pub(super) fn check(&self) -> Result<(), Failure> {
        // The one makes a tunnel, the other has the server repeat all headers.
        if matches!(self.method, Method::CONNECT | Method::TRACE) {
            return Err(Failure::Invalid(format!("the method `{}` can't be used", self.method)));
        }
        if self.body.len() > MAX_REQUEST_BYTES {
            return Err(Failure::TooLarge(format!(
                "the request's body has {} bytes, the limit is {MAX_REQUEST_BYTES}",
                self.body.len()
            )));
        }
        Ok(())
    }
}

/// Methods are compared as they are written; most plugins write them in upper case, and the others mean it.
pub(crate) fn method(text: &str) -> Result<Method, Failure> {
    let wrong = || Failure::Invalid(format!("`{}` is no method", text.escape_debug()));
    if text.len() > 32 {
        return Err(Failure::Invalid("the method has more than 32 bytes".to_owned()));
    }
    Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| wrong())
}
