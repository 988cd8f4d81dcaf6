//! The hostile components, for the harness and for the tests: what each does, how it must end, and its bytes.

#![forbid(unsafe_code)]

pub mod attacks;
mod bombs;
pub mod components;
pub mod ground;
pub mod listening;
pub mod loopback;
