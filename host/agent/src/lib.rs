//! The agent loop: asks the pattern, carries out its actions, keeps the conversation.
//!
//! `run.rs` is the loop, `effects.rs` the one place where a model or a tool is called. Sessions are read and written through the store;
//! models, tools and patterns come in as traits.

mod arguments;
mod cancel;
mod conversation;
mod effects;
mod locks;
mod resource;
mod run;
mod spending;

pub use cancel::Cancel;
pub use conversation::Conversation;
pub use locks::ResourceLocks;
pub use run::{RunAgent, RunInput, run};
