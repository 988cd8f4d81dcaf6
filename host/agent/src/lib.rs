//! The agent loop: asks the pattern, carries out its actions, keeps the conversation.
//!
//! `run.rs` is a run from its beginning to its end, `steps.rs` the loop, `effects.rs` the one place where a model, a tool or a person is called,
//! `tape.rs` what the journal says already, for a run that is continued or replayed. Sessions are read and written through the store;
//! models, tools and patterns come in as traits.

mod arguments;
mod budget;
mod calls;
mod cancel;
mod consent;
mod conversation;
mod delegation;
mod effects;
mod inbox;
mod locks;
mod memory;
mod replay;
mod resource;
mod run;
mod spending;
mod steps;
mod tape;

pub use budget::WhenUsedUp;
pub use cancel::Cancel;
pub use consent::{Attended, ConsentRules, Unattended};
pub use conversation::Conversation;
pub use delegation::{Delegate, Delegation};
pub use inbox::{Inbox, POLL};
pub use locks::ResourceLocks;
pub use memory::RunMemory;
pub use replay::{ReplayInput, ReplayedStep, replay, seen_by_models};
#[doc(hidden)]
pub use resource::calls_conflict;
pub use run::{RunAgent, RunInput, RunPlace, run};
pub use tape::{Start, Tape};
