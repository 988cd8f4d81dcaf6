//! The tool `list`.

use std::fs;
use std::ops::ControlFlow;

use sandbar_sdk::{Error, schemars::JsonSchema};
use serde::Deserialize;

use crate::directory::Kind;
use crate::fault::{Doing, fault, not_directory};
use crate::text::{plural, shown, size};
use crate::walk::{Entry, Reach, walk};
use crate::workspace::Workspace;

/// The most entries that are counted.
const MAX_ENTRIES: u64 = 100_000;
/// The most entries that one call shows.
const MAX_LIMIT: u64 = 2000;
const DEFAULT_LIMIT: u64 = 200;
const DEFAULT_DEPTH: u32 = 3;
const MAX_DEPTH: u32 = 32;

/// Lists a directory of the workspace: names that the other tools accept, sorted, directories with a `/`, files with their size.
/// Use it to find out what is there; to find text in files use `search`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct List {
    /// The directory, relative to the workspace; the workspace itself by default.
    path: Option<String>,
    /// List what is in the directories below too (`.git` is skipped).
    recursive: bool,
    /// With `recursive`: how many levels to go down, 3 by default.
    depth: Option<u32>,
    /// The number of the first entry to show, from 1; to get the next page.
    offset: Option<u64>,
    /// How many entries to show, 200 by default, at most 2000.
    limit: Option<u64>,
}

pub(crate) fn list(workspace: &Workspace, input: &List) -> Result<String, Error> {
    let place = workspace.place(input.path.as_deref().unwrap_or("."))?;
    match fs::metadata(&place.path) {
        Ok(metadata) if !metadata.is_dir() => return Err(not_directory(workspace, &place)),
        Err(error) if !place.name.is_empty() => return Err(fault(workspace, &place, Doing::Reading, &error)),
        _ => {}
    }
    let reach = Reach {
        depth: if input.recursive {
            input.depth.unwrap_or(DEFAULT_DEPTH).clamp(1, MAX_DEPTH)
        } else {
            1
        },
        skip_git: true,
    };
    let first = input.offset.unwrap_or(1).max(1);
    let limit = input.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let mut text = String::new();
    let mut total = 0;
    let unreadable = walk(workspace, &place, reach, &mut |entry| {
        if total == MAX_ENTRIES {
            return ControlFlow::Break(());
        }
        total += 1;
        if (first..first.saturating_add(limit)).contains(&total) {
            text.push_str(&line(&entry));
        }
        ControlFlow::Continue(())
    })?;
    let mut notice = match unreadable {
        0 => String::new(),
        // Said even of an empty page: what can't be shown must not seem to be absent.
        count => format!("; {} could not be read", plural(count, "entry")),
    };
    if total == 0 {
        return Ok(format!("[`{}` is empty{notice}]\n", place.shown()));
    }
    if first > total {
        return Err(Error::new(
            "invalid-input",
            format!(
                "`offset` is {first}, but `{}` has {}",
                place.shown(),
                plural(total, "entry")
            ),
        ));
    }
    let last = total.min(first.saturating_add(limit) - 1);
    if last < total {
        notice.push_str(&format!("; for the next page use offset {}", last + 1));
    } else if first > 1 {
        notice.push_str("; this is the last page");
    }
    let counted = if total == MAX_ENTRIES { "more than " } else { "" };
    text.push_str(&match last - first + 1 {
        shown if shown == total => format!("[{}{notice}]\n", plural(total, "entry")),
        _ => format!("[entries {first}-{last} of {counted}{total}{notice}]\n"),
    });
    Ok(text)
}

fn line(entry: &Entry) -> String {
    let name = shown(&entry.place.name);
    match entry.kind {
        Kind::Directory if entry.mount => format!("{name}/  (mount)\n"),
        Kind::Directory => format!("{name}/\n"),
        Kind::File => {
            let bytes = fs::symlink_metadata(&entry.place.path).map_or(0, |metadata| metadata.len());
            format!("{name}  {}\n", size(bytes))
        }
        Kind::Link => match fs::read_link(&entry.place.path) {
            Ok(target) => format!("{name} -> {}\n", shown(&target.to_string_lossy())),
            Err(_) => format!("{name} -> (outside of the workspace)\n"),
        },
        Kind::Other => format!("{name}  (neither file nor directory)\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in ["src/a/b/c", ".git/objects", "empty", "docs"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["src/a/b/c/deep.txt", "src/lib.rs", "z.txt", ".git/config"] {
            fs::write(root.join(name), "12345").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("src", root.join("link")).unwrap();
        #[cfg(target_os = "linux")]
        fs::write(
            root.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(
                b"empty/\xff",
            )),
            "",
        )
        .unwrap();
        let workspace = Workspace::new(root, vec!["docs".to_owned()]);
        let check = |input: List, expected: &str| {
            let got = list(&workspace, &input).unwrap_or_else(|error| format!("{}: {}", error.code, error.message));
            assert_eq!(got, expected, "{input:?}");
        };
        let at = |path: &str| List {
            path: Some(path.to_owned()),
            ..List::default()
        };
        check(
            List::default(),
            ".git/\ndocs/  (mount)\nempty/\nlink -> src\nsrc/\nz.txt  5 bytes\n[6 entries]\n",
        );
        check(at("/src"), "src/a/\nsrc/lib.rs  5 bytes\n[2 entries]\n");
        check(at("empty"), "[`empty` is empty; 1 entry could not be read]\n");
        check(
            at("z.txt"),
            "not-directory: `z.txt` is a file, a directory was expected",
        );
        check(at("zz"), "not-found: there is no `zz` in the workspace");
        check(at(".."), "outside-workspace: `..` leads out of the workspace");
        let recursive = || List {
            recursive: true,
            ..List::default()
        };
        check(
            List {
                depth: Some(2),
                ..recursive()
            },
            ".git/\ndocs/  (mount)\nempty/\nlink -> src\nsrc/\nsrc/a/\nsrc/lib.rs  5 bytes\nz.txt  5 bytes\n[8 entries; 1 entry could not be read]\n",
        );
        check(
            List {
                limit: Some(2),
                offset: Some(5),
                ..recursive()
            },
            "src/\nsrc/a/\n[entries 5-6 of 9; 1 entry could not be read; for the next page use offset 7]\n",
        );
        check(
            List {
                limit: Some(2),
                offset: Some(9),
                ..recursive()
            },
            "z.txt  5 bytes\n[entries 9-9 of 9; 1 entry could not be read; this is the last page]\n",
        );
        check(
            List {
                offset: Some(10),
                ..List::default()
            },
            "invalid-input: `offset` is 10, but `/` has 6 entries",
        );
    }
}
