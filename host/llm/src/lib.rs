//! Language models behind `sandbar_protocol::Model`.
//!
//! Each way to reach a model is one file that turns a `ModelRequest` into a stream of `ModelPart`s; what they share is
//! `assemble`, which folds previews into the authoritative answer. Here are neither retries that outlive a call nor the choice of a
//! model: those belong to the agent loop.

mod assemble;
mod script;
mod scripted;
mod template;

pub use scripted::ScriptedModel;
