//! What a plugin keeps: `kv` of `wit/`, in the space that its grant gives it. Whoever has no grant has no space.

use sandbar_protocol::policy::{Effective, KvAccess};
use sandbar_protocol::{
    Error, KeyValues, KvCall, KvReply, KvScope, KvSpace, MAX_VALUE_BYTES, Result, SessionId, key_problem,
};

use crate::bindings::tool::sandbar::plugin::kv::{Host, KeyPage};
use crate::bindings::tool::sandbar::plugin::types::Error as GuestError;
use crate::boundary::Boundary;
use crate::guest::GuestState;
use crate::limits::{MAX_KV_CALLS, MAX_KV_PAGE};
use crate::refusals::Denied;

/// One call's way to what its plugin keeps.
#[derive(Clone)]
pub(crate) struct KvPort {
    keys: KeyValues,
    space: KvSpace,
    writes: bool,
    calls_left: u32,
}

impl KvPort {
    /// None: the plugin may keep nothing, or there is no place for it.
    pub(crate) fn of(keys: Option<&KeyValues>, effective: &Effective, session: &str) -> Result<Option<Self>> {
        let scope = match effective.kv() {
            KvAccess::None => return Ok(None),
            KvAccess::Session => KvScope::Session(SessionId::parse(session)?),
            KvAccess::Shared => KvScope::Shared,
        };
        Ok(keys.map(|keys| Self {
            keys: keys.clone(),
            space: KvSpace {
                plugin: effective.plugin().into(),
                scope,
            },
            writes: true,
            calls_left: MAX_KV_CALLS,
        }))
    }

    pub(crate) fn read_only(self) -> Self {
        Self { writes: false, ..self }
    }
}

impl GuestState {
    /// What the policy says of a call, and then what came of it.
    async fn keep(&mut self, key: &str, call: KvCall) -> Result<KvReply, GuestError> {
        let gatekeeper = self.caller().gatekeeper();
        gatekeeper.kv(KvAccess::Session).map_err(|Denied| denied())?;
        let boundary = gatekeeper.boundary;
        let port = self.kv().ok_or_else(denied)?;
        let changes = matches!(call, KvCall::Set { .. } | KvCall::Delete { .. });
        if changes && !port.writes {
            return Err(refusal("denied", "nothing can be changed in this call"));
        }
        port.calls_left = port.calls_left.checked_sub(1).ok_or_else(|| {
            refusal(
                "too-many-calls",
                format!("more than {MAX_KV_CALLS} calls of `kv` in one call of the plugin"),
            )
        })?;
        let listing = matches!(call, KvCall::Keys { .. });
        if let Some(problem) = key_problem(key).or((key.is_empty() && !listing).then(|| "is empty".to_owned())) {
            return Err(refusal("invalid-key", format!("the key {problem}")));
        }
        if boundary.protected.find(key.as_bytes()).is_some() {
            boundary.tell_redacted("a key of `kv`");
            return Err(refusal("invalid-key", "the key can't be used"));
        }
        let reply = (port.keys)(port.space.clone(), kept(&boundary, call)).await;
        reply.map(|reply| found(&boundary, reply)).map_err(|error| told(&error))
    }
}

/// What is kept lasts, is in every backup, and may be read by a later version of the plugin: no protected value is in it.
fn kept(boundary: &Boundary, call: KvCall) -> KvCall {
    match call {
        KvCall::Set { key, value } => KvCall::Set {
            key,
            value: boundary.bytes("a value for `kv`", value),
        },
        KvCall::Get { .. } | KvCall::Delete { .. } | KvCall::Keys { .. } => call,
    }
}

/// What was kept may have been kept before anybody knew that it is a secret.
fn found(boundary: &Boundary, reply: KvReply) -> KvReply {
    match reply {
        KvReply::Value(Some(value)) => KvReply::Value(Some(boundary.bytes("a value of `kv`", value))),
        other => other,
    }
}

impl Host for GuestState {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, GuestError> {
        let call = KvCall::Get { key: key.clone() };
        match self.keep(&key, call).await? {
            KvReply::Value(value) => Ok(value),
            _ => Err(unavailable()),
        }
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), GuestError> {
        if value.len() > MAX_VALUE_BYTES {
            let message = format!("the value has {} bytes, the limit is {MAX_VALUE_BYTES}", value.len());
            return Err(refusal("too-large", message));
        }
        let call = KvCall::Set {
            key: key.clone(),
            value,
        };
        self.keep(&key, call).await.map(|_| ())
    }

    async fn delete(&mut self, key: String) -> Result<(), GuestError> {
        let call = KvCall::Delete { key: key.clone() };
        self.keep(&key, call).await.map(|_| ())
    }

    async fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<KeyPage, GuestError> {
        let wanted = limit.min(MAX_KV_PAGE) as usize;
        if let Some(problem) = after.as_deref().and_then(key_problem) {
            return Err(refusal("invalid-key", format!("the key {problem}")));
        }
        let call = KvCall::Keys {
            prefix: prefix.clone(),
            after,
            // One more tells whether more follow.
            limit: wanted + 1,
        };
        match self.keep(&prefix, call).await? {
            KvReply::Keys(mut keys) => {
                let more = keys.len() > wanted;
                keys.truncate(wanted);
                let protected = &self.caller().boundary.protected;
                keys.retain(|key| protected.find(key.as_bytes()).is_none());
                Ok(KeyPage { keys, more })
            }
            _ => Err(unavailable()),
        }
    }
}

/// The same word whether nothing was granted or nothing requested: a guest needn't know which.
fn denied() -> GuestError {
    refusal("denied", "this plugin may keep nothing")
}

/// Nothing of the host's own troubles, such as where its files are, is for a guest to read.
fn told(error: &Error) -> GuestError {
    if error.code == "quota" {
        return refusal("quota", &*error.message);
    }
    tracing::warn!(%error, "what a plugin keeps can't be reached");
    unavailable()
}

fn unavailable() -> GuestError {
    let mut error = refusal("unavailable", "what is kept can't be reached now");
    error.annotations.push(("retryable".to_owned(), "true".to_owned()));
    error
}

fn refusal(code: &str, message: impl Into<String>) -> GuestError {
    GuestError {
        code: code.to_owned(),
        message: message.into(),
        hint: None,
        annotations: Vec::new(),
    }
}
