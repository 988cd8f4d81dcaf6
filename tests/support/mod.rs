//! What the tests share: a world to run in, the program, and what a run has shown.

pub(crate) mod built;
pub(crate) mod cut;
pub(crate) mod desk;
pub(crate) mod listening;
pub(crate) mod person;
pub(crate) mod program;
pub(crate) mod provider;
pub(crate) mod quiet;
pub(crate) mod ran;
pub(crate) mod script;
pub(crate) mod terminal;
pub(crate) mod web;
pub(crate) mod world;

use std::path::Path;

/// Copies what is in a directory; one that isn't there has nothing in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
