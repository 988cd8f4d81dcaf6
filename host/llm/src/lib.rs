//! Language models behind `sandbar_protocol::Model`.
//!
//! Each way to reach a model turns a `ModelRequest` into a stream of `ModelPart`s; what they share is `assemble`, which folds previews
//! into the authoritative answer. Here are neither retries that outlive a call nor the choice of a model: those belong to the agent
//! loop.
//!
//! A provider is reached in layers: `http` (one client, what its failures mean), `call` (attempts, time and size limits), `frames` and
//! `sse` (bytes to events), and a codec, which is two files: what is sent (`chat_request`), and the state machine from what comes
//! back to parts (`chat_fold`). Another format is two more such files beside them.

mod assemble;
mod call;
mod chat_fold;
mod chat_request;
mod failure;
mod frames;
mod http;
mod limits;
mod local;
mod openai;
mod prices;
mod script;
mod scripted;
mod sse;
mod template;
#[cfg(test)]
mod test_server;
mod text;

pub use http::check_base_url;
pub use local::{LocalServer, Server, find_local_server, list_models};
pub use openai::{ApiKey, DEFAULT_IDLE, DEFAULT_MAX_RETRIES, OpenAiModel, OpenAiSettings, Sampling};
pub use prices::{PRICES_AS_OF, Price};
pub use scripted::ScriptedModel;
#[doc(hidden)]
pub use sse::decode_events;
