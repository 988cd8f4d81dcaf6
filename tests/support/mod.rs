//! What the tests share: a world to run in, the program, and what a run has shown.

pub(crate) mod built;
pub(crate) mod cut;
pub(crate) mod desk;
pub(crate) mod person;
pub(crate) mod program;
pub(crate) mod provider;
pub(crate) mod quiet;
pub(crate) mod ran;
pub(crate) mod script;
pub(crate) mod terminal;
pub(crate) mod web;
pub(crate) mod world;

use std::path::{Path, PathBuf};

/// The files below a directory that hold a text. What a link leads to is not below it.
pub(crate) fn holding(directory: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    each_file(directory, &mut |path| {
        let bytes = std::fs::read(path).unwrap();
        if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.to_owned());
        }
    });
    found
}

/// Each file below a directory; links are not followed.
pub(crate) fn each_file(directory: &Path, see: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            each_file(&entry.path(), see);
        } else if kind.is_file() {
            see(&entry.path());
        }
    }
}

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
