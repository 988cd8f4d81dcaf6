//! What a plugin may do: requested *and* granted, and one sentence for each refusal.
//!
//! Pure and synchronous: no I/O, no clock, no host. Whoever is about to do something asks here first, with what it knows, and does what
//! it is told: files in `plugins`, requests over the network at the one egress, tool calls in the agent's effects.

mod address;
mod arguments;
mod effective;
mod host_pattern;
mod http_rule;
mod mend;
mod names;
mod power;
mod refusal;
mod target;
#[cfg(test)]
mod tests;

pub use address::{METADATA, special_range};
pub use arguments::{ArgumentBreach, ArgumentLimits, ArgumentSchema};
pub use effective::Effective;
pub use host_pattern::HostPattern;
pub use http_rule::HttpRule;
pub use names::{NameProblem, check_link, check_name};
pub use power::{KvAccess, Origin, Power, PowerGrant, PowerSet, Rule, Ruling};
pub use refusal::Refusal;
pub use target::{Host, MAX_URL_BYTES, Scheme, Target};
