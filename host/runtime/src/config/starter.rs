//! What a new project starts with: an agent that works without a key and without a network.

pub(super) const CONFIG: &str = include_str!("starter.toml");

pub(super) const SCRIPT: &str = include_str!("starter_replies.toml");
