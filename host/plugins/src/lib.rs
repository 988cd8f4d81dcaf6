//! The plugin host: finds components, compiles them in a child process, and runs each call inside its limits.
//!
//! The only crate that names wasmtime. What a plugin sees is `wit/`; what it may do is decided in `grants.rs`; what bounds it is in
//! `limits.rs`. The path of one call: `sandbox.rs` → `tool.rs`, `pattern.rs` or `memory_plugin.rs` → `guest.rs` (store and instance) → `call.rs` (polled
//! on the caller's runtime) → `lane.rs` (when it overstays).

mod approval;
mod bindings;
mod boundary;
mod cache;
mod call;
mod compile;
mod crowd;
mod describe;
mod difference;
mod digest;
mod discover;
mod egress;
mod engine;
mod error;
mod exposed;
mod facts;
mod filesystem;
mod grants;
mod guest;
mod host;
mod http;
mod http_wasi;
mod kv;
mod lane;
mod limits;
mod links;
mod lock;
mod locked;
mod manifest;
mod memory;
mod memory_plugin;
mod meter;
mod output;
mod own_places;
mod pattern;
mod plugin;
mod plugins;
mod rates;
mod refusals;
mod regular_file;
mod sandbox;
mod secrets;
mod seeded;
mod sinks;
mod slots;
#[cfg(target_os = "linux")]
mod spawner;
mod ticker;
mod tool;
pub mod wall;
mod warm;
mod watch;
mod worker;
mod workspace;

pub use approval::{Verified, VerifiedState, verify};
pub use difference::{ChangedTool, ChangedTraits, Difference, Lines, NewTool, Waiting};
pub use discover::{Bundled, Origin};
pub use egress::{EgressSettings, Resolver};
pub use facts::MemoryTraits;
pub use grants::Grant;
pub use limits::{GuestLimits, RESERVED_BYTES};
pub use links::linked_files;
pub use lock::{Lock, LockFile};
pub use locked::Locked;
pub use meter::CallStats;
pub use own_places::{Kept, OwnPlace, OwnPlaces};
pub use plugin::{Plugin, Status};
pub use plugins::{Plugins, PluginsConfig, Preparation};
pub use regular_file::{read_regular, read_regular_text, why_unread};
pub use sandbar_protocol::manifest::{Kind, Lifetime, Manifest};
pub use sandbox::{Sandbox, SandboxSpec};
pub use secrets::{Audience, SecretEntry, SecretPlace};
pub use watch::{Admit, CallWatch, Ended};
pub use worker::{WORKER_ARGUMENT, worker_entry};
pub use workspace::{Mount, MountRoom, Workspace};
