//! The tool `write`.

use std::fs;
use std::io::ErrorKind;

use sandbar_sdk::{Error, schemars::JsonSchema};
use serde::Deserialize;

use crate::fault::{Doing, fault, is_directory, not_directory};
use crate::preview::diff;
use crate::save::save;
use crate::text::{plural, size};
use crate::workspace::{Place, Workspace};

/// The most that one call writes.
const MAX_CONTENT_BYTES: usize = 4 * 1024 * 1024;

/// Writes a whole text file in the workspace: creates it with the directories above it, or replaces its content.
/// To change a part of a file use `edit`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(deny_unknown_fields)]
pub(crate) struct Write {
    /// The file, relative to the workspace.
    path: String,
    /// The whole new content, without line numbers.
    content: String,
    /// Fail if the file exists already.
    #[serde(default)]
    create_only: bool,
}

pub(crate) fn write(workspace: &Workspace, input: &Write) -> Result<String, Error> {
    let place = workspace.place(&input.path)?;
    let content = input.content.as_bytes();
    if content.len() > MAX_CONTENT_BYTES {
        let message = format!(
            "`content` has {}, at most {} were expected",
            size(content.len() as u64),
            size(MAX_CONTENT_BYTES as u64)
        );
        return Err(Error::new("too-large", message).hint("split it over several files"));
    }
    let before = fs::metadata(&place.path).ok();
    if place.name.is_empty() || input.path.ends_with('/') || before.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(is_directory(&place));
    }
    // The same call twice is the same as once: what is there already needs no writing, and is no reason to fail.
    if before.as_ref().is_some_and(fs::Metadata::is_file) && fs::read(&place.path).is_ok_and(|old| old == content) {
        return Ok(format!("`{}` has this content already\n", place.shown()));
    }
    if before.is_some() && input.create_only {
        return Err(Error::new(
            "exists",
            format!("`{}` exists already, and `create_only` was asked for", place.shown()),
        )
        .hint("`read` it first, then change it with `edit`, or write under another name"));
    }
    if workspace.preview {
        let old = before.is_some().then(|| fs::read(&place.path).unwrap_or_default());
        let old = old.as_deref().map(String::from_utf8_lossy);
        return Ok(diff(&place, old.as_deref(), Some(&input.content)));
    }
    create_parent(workspace, &place)?;
    save(&place, content).map_err(|error| match error.kind() {
        // The directories above are there, so it is the workspace that is not: only mounts were granted.
        ErrorKind::NotFound => Error::new("no-workspace", format!("`{}` lies in no workspace", place.shown()))
            .hint("write into one of the directories that `list` shows"),
        _ => fault(workspace, &place, Doing::Writing, &error),
    })?;
    let lines = plural(input.content.lines().count() as u64, "line");
    let written = size(content.len() as u64);
    Ok(match before {
        Some(before) => format!(
            "replaced `{}`: {written}, {lines} (was {})\n",
            place.shown(),
            size(before.len())
        ),
        None => format!("created `{}`: {written}, {lines}\n", place.shown()),
    })
}

fn create_parent(workspace: &Workspace, place: &Place) -> Result<(), Error> {
    let Some(parent) = place.parent_name().filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let parent = workspace.at(parent);
    match fs::metadata(&parent.path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(not_directory(workspace, &parent)),
        Err(_) => fs::create_dir_all(&parent.path).map_err(|error| fault(workspace, &parent, Doing::Writing, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("d")).unwrap();
        fs::write(directory.path().join("old"), "12345").unwrap();
        let workspace = Workspace::new(directory.path(), Vec::new());
        let check = |path: &str, content: &str, create_only: bool, expected: &str| {
            let input = Write {
                path: path.to_owned(),
                content: content.to_owned(),
                create_only,
            };
            let got = write(&workspace, &input).unwrap_or_else(|error| format!("{}: {}", error.code, error.message));
            assert_eq!(got.trim_end(), expected, "{path}");
            if got.starts_with("created") || got.starts_with("replaced") {
                assert_eq!(fs::read_to_string(directory.path().join(path)).unwrap(), content);
            }
        };
        check("new", "a\nb\n", false, "created `new`: 4 bytes, 2 lines");
        check("x/y/z.txt", "", true, "created `x/y/z.txt`: 0 bytes, 0 lines");
        check("old", "1\r\n", false, "replaced `old`: 3 bytes, 1 line (was 5 bytes)");
        check("old", "1\r\n", true, "`old` has this content already");
        check(
            "old",
            "2",
            true,
            "exists: `old` exists already, and `create_only` was asked for",
        );
        check("d", "", false, "is-directory: `d` is a directory, a file was expected");
        check("e/", "", false, "is-directory: `e` is a directory, a file was expected");
        check("/", "", false, "is-directory: `/` is a directory, a file was expected");
        check(
            "old/x",
            "",
            false,
            "not-directory: `old` is a file, a directory was expected",
        );
        check(
            "old/x/y",
            "",
            false,
            "not-directory: `old` is a file, a directory was expected",
        );
        check(
            "../x",
            "",
            false,
            "outside-workspace: `../x` leads out of the workspace",
        );
        let big = "x".repeat(MAX_CONTENT_BYTES + 1);
        check(
            "big",
            &big,
            false,
            "too-large: `content` has 4.0 MiB, at most 4.0 MiB were expected",
        );
    }
}
