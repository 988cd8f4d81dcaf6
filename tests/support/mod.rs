//! What the tests share: a world to run in, the program, and what a run has shown.

pub(crate) mod built;
pub(crate) mod program;
pub(crate) mod quiet;
pub(crate) mod ran;
pub(crate) mod script;
pub(crate) mod world;
