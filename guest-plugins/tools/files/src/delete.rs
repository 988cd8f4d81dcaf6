//! The tool `delete`.

use std::fs;
use std::io;

use sandbar_sdk::{Error, schemars::JsonSchema};
use serde::Deserialize;

use crate::fault::{Doing, fault};
use crate::preview::diff;
use crate::text::{plural, size};
use crate::workspace::{Place, Workspace};

/// Deletes a file, a link or a directory of the workspace. It can't be brought back.
/// A directory that is not empty is deleted only with `recursive`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    /// What to delete, relative to the workspace.
    path: String,
    /// Delete a directory with everything in it.
    #[serde(default)]
    recursive: bool,
}

pub(crate) fn delete(workspace: &Workspace, input: &Delete) -> Result<String, Error> {
    let place = workspace.place(&input.path)?;
    let failed = |error| fault(workspace, &place, Doing::Writing, &error);
    if place.name.is_empty() || workspace.mounts_under(&place.name).next().is_some() {
        let message = format!(
            "`{}` is the root of the workspace or holds a mount, and stays",
            place.shown()
        );
        return Err(Error::new("invalid-input", message).hint("delete what is in it by name"));
    }
    let metadata = fs::symlink_metadata(&place.path).map_err(failed)?;
    if workspace.preview && !metadata.is_dir() {
        let text = fs::read_to_string(&place.path);
        return Ok(text.map_or_else(
            |_| format!("deletes `{}`: {}\n", place.shown(), size(metadata.len())),
            |text| diff(&place, Some(&text), None),
        ));
    }
    if !metadata.is_dir() {
        fs::remove_file(&place.path).map_err(failed)?;
        return Ok(format!("deleted `{}`\n", place.shown()));
    }
    if !input.recursive {
        let inside = fs::read_dir(&place.path).map_err(failed)?.count() as u64;
        if inside > 0 {
            let message = format!(
                "`{}` is a directory with {} in it",
                place.shown(),
                plural(inside, "entry")
            );
            return Err(Error::new("not-empty", message).hint("use `recursive: true` to delete all of it"));
        }
    }
    if workspace.preview {
        return Ok(format!(
            "deletes the directory `{}` with everything in it\n",
            place.shown()
        ));
    }
    let mut deleted = 0;
    match delete_all(&place, &mut deleted) {
        Ok(()) => Ok(format!("deleted `{}`: {}\n", place.shown(), plural(deleted, "entry"))),
        Err((at, error)) => {
            let mut error = fault(workspace, &at, Doing::Writing, &error);
            if deleted > 0 {
                error.message = format!("{}, after {} had been deleted", error.message, plural(deleted, "entry"));
            }
            Err(error)
        }
    }
}

/// Deletes a directory, counting what went; links are deleted, not followed. An error says where it stopped.
fn delete_all(directory: &Place, deleted: &mut u64) -> Result<(), (Place, io::Error)> {
    let stopped = |error| (directory.clone(), error);
    let mut entries: Vec<_> = fs::read_dir(&directory.path)
        .and_then(Iterator::collect)
        .map_err(stopped)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let place = Place {
            name: format!("{}/{}", directory.name, entry.file_name().to_string_lossy()),
            path: entry.path(),
        };
        let file_type = entry.file_type().map_err(|error| (place.clone(), error))?;
        if file_type.is_dir() {
            delete_all(&place, deleted)?;
        } else {
            fs::remove_file(&place.path).map_err(|error| (place, error))?;
            *deleted += 1;
        }
    }
    fs::remove_dir(&directory.path).map_err(stopped)?;
    *deleted += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleting() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        for name in ["empty", "full/inner", "docs"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["file", "full/a", "full/inner/b", "../kept"] {
            fs::write(root.join(name), "").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("../..", root.join("full/link")).unwrap();
        let workspace = Workspace::new(&root, vec!["docs".to_owned()]);
        let check = |path: &str, recursive: bool, expected: &str| {
            let input = Delete {
                path: path.to_owned(),
                recursive,
            };
            let got = delete(&workspace, &input).unwrap_or_else(|error| format!("{}: {}", error.code, error.message));
            assert_eq!(got.trim_end(), expected, "{path}");
        };
        check("file", false, "deleted `file`");
        check("file", false, "not-found: there is no `file` in the workspace");
        check("empty", false, "deleted `empty`: 1 entry");
        check("full", false, "not-empty: `full` is a directory with 3 entries in it");
        check("full", true, "deleted `full`: 5 entries");
        check(
            "/",
            true,
            "invalid-input: `/` is the root of the workspace or holds a mount, and stays",
        );
        check(
            "docs",
            true,
            "invalid-input: `docs` is the root of the workspace or holds a mount, and stays",
        );
        check("..", true, "outside-workspace: `..` leads out of the workspace");
        assert!(directory.path().join("kept").exists());
    }
}
