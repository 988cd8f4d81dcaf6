//! The plugin host: finds components, compiles them in a child process, and runs each call inside its limits.
//!
//! The only crate that names wasmtime. What a plugin sees is `wit/`; what it may do is decided in `grants.rs`; what bounds it is in
//! `limits.rs`. The path of one call: `sandbox.rs` → `tool.rs` or `pattern.rs` → `guest.rs` (store and instance) → `call.rs` (polled
//! on the caller's runtime) → `lane.rs` (when it overstays).

mod bindings;
mod cache;
mod call;
mod compile;
mod describe;
mod digest;
mod discover;
mod engine;
mod error;
mod exposed;
mod facts;
mod grants;
mod guest;
mod host;
mod lane;
mod limits;
mod manifest;
mod memory;
mod meter;
mod output;
mod pattern;
mod plugin;
mod plugins;
mod sandbox;
mod seeded;
mod slots;
mod ticker;
mod tool;
pub mod wall;
mod warm;
mod worker;
mod workspace;

pub use discover::{Bundled, Origin};
pub use facts::Kind;
pub use grants::Grant;
pub use limits::GuestLimits;
pub use manifest::{Lifetime, Manifest};
pub use meter::CallStats;
pub use plugin::{Plugin, Status};
pub use plugins::{Plugins, PluginsConfig, Preparation};
pub use sandbox::{Sandbox, SandboxSpec};
pub use worker::{WORKER_ARGUMENT, worker_entry};
pub use workspace::{Mount, Workspace};
