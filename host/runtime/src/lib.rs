//! Sandbar: an agent runtime whose tools and decision logic are sandboxed WebAssembly components.
//!
//! A [`Runtime`] is opened from a [`Config`], and [`run`](Runtime::run) gives a stream of events, each committed to the
//! journal before it is shown.
//!
//! ```standalone_crate
//! use sandbar::protocol::{EventBody, RunRequest, StreamItem};
//! use sandbar::{Config, Runtime};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Plugins are compiled in a child process, which is this program started again.
//!     sandbar::worker_entry();
//!
//!     let directory = tempfile::tempdir()?;
//!     std::fs::write(directory.path().join("replies.toml"), "[[reply]]\ntext = \"Good morning.\"\n")?;
//!     let text = r#"
//!         [models.script]
//!         provider = "scripted"
//!         script = "replies.toml"
//!         [agents.main]
//!         model = "script"
//!     "#;
//!     let config = Config::from_toml(text, directory.path()).map_err(|errors| errors[0].clone())?;
//!
//!     tokio::runtime::Runtime::new()?.block_on(async {
//!         let runtime = Runtime::open(config).await?;
//!         let mut stream = runtime.run(RunRequest::new("Hello?")).await?;
//!         let mut seen = Vec::new();
//!         while let Some(item) = stream.next().await {
//!             if let StreamItem::Event(event) = item? {
//!                 seen.push(event.body.name().to_owned());
//!                 if let EventBody::RunFinished(result) = &event.body {
//!                     assert_eq!(result.text, "Good morning.");
//!                 }
//!             }
//!         }
//!         assert_eq!(seen.first().map(String::as_str), Some("run.started"));
//!         assert_eq!(seen.last().map(String::as_str), Some("run.finished"));
//!         runtime.close().await;
//!         Ok(())
//!     })
//! }
//! ```

mod bundled;
pub mod config;
mod delegation;
mod health;
mod kernel_wall;
mod memory;
mod open;
mod own_places;
mod replay;
mod runtime;
mod secrets;
mod sessions;
mod shared;
mod stream;
mod threads;
mod turnstile;
mod work;

pub use bundled::DEMO_PLUGINS;
pub use config::Config;
pub use kernel_wall::enclose;
pub use memory::AgentMemory;
pub use open::{Journal, OpenOptions, load_plugins, verify_plugins};
pub use replay::Replay;
pub use runtime::{AgentTool, Answered, Runtime};
pub use sandbar_agent as agent;
pub use sandbar_agent::Attended;
pub use sandbar_plugins as plugins;
pub use sandbar_plugins::worker_entry;
pub use sandbar_protocol as protocol;
pub use sandbar_store as store;
pub use secrets::{SecretsReport, check_secrets};
pub use stream::RunStream;
pub use threads::threads;
