//! The way of a plugin's author: a project from a template, its component, its tests.
//!
//! The commands `plugins new`, `plugins build` and `plugins test` are in `commands/plugins/`; what they do is here.

mod case;
mod compare;
mod compile;
mod component;
mod packed;
mod project;
mod trial;

pub(crate) use case::{Case, read_cases};
pub(crate) use component::{Component, build};
pub(crate) use project::{Language, Project, TemplateKind, create};
pub(crate) use trial::{Trial, try_case};

/// The largest file of an author's that is read as text.
const MAX_TEXT_BYTES: u64 = 4 << 20;
