//! From what the file system says to an error that a model can act on.

use std::fs;
use std::io::{self, ErrorKind};

use sandbar_sdk::Error;

use crate::text::shown;
use crate::workspace::{Place, Workspace};

/// What was being done when the file system refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Reading,
    Writing,
}

/// The error for a refused operation on a place.
pub(crate) fn fault(workspace: &Workspace, place: &Place, doing: Doing, error: &io::Error) -> Error {
    let name = place.shown();
    match error.kind() {
        ErrorKind::NotFound => not_found(workspace, place),
        ErrorKind::IsADirectory => is_directory(place),
        ErrorKind::NotADirectory => not_directory(workspace, place),
        // Making a directory behind such a link fails with `AlreadyExists`.
        ErrorKind::PermissionDenied | ErrorKind::AlreadyExists if workspace.passes_link(place) => Error::new(
            "outside-workspace",
            format!("`{name}` is, or lies behind, a link that leads out of the workspace"),
        )
        .hint("name the file itself, inside of the workspace"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if doing == Doing::Writing => Error::new(
            "read-only-workspace",
            format!("`{name}` can't be changed: files here may only be read"),
        )
        .hint("go on without changing it, or ask the user to grant `files = \"read-write\"`"),
        ErrorKind::AlreadyExists => {
            Error::new("exists", format!("`{name}` exists already")).hint("use another name, or delete it first")
        }
        ErrorKind::PermissionDenied => Error::new("not-permitted", format!("`{name}` may not be read"))
            .hint("its permissions keep this process out: ask the user"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::new(
            "storage-full",
            format!("`{name}` was not written: there is no space left"),
        )
        .hint("delete files that are no longer needed, or ask the user"),
        ErrorKind::InvalidFilename => {
            Error::new("invalid-input", format!("`{name}` can't be a name in this file system"))
                .hint("each part of a name has at most 255 bytes")
        }
        _ => Error::new("io-error", format!("`{name}` failed: {error}")),
    }
}

pub(crate) fn is_directory(place: &Place) -> Error {
    Error::new(
        "is-directory",
        format!("`{}` is a directory, a file was expected", place.shown()),
    )
    .hint("`list` shows the files in it")
}

/// Checks that something can be read from its beginning to its end: a pipe or a device would wait for ever.
pub(crate) fn require_file(place: &Place, metadata: &fs::Metadata) -> Result<(), Error> {
    if metadata.is_file() {
        return Ok(());
    }
    if metadata.is_dir() {
        return Err(is_directory(place));
    }
    let message = format!(
        "`{}` is a pipe, a socket or a device, a file was expected",
        place.shown()
    );
    Err(Error::new("not-file", message).hint("go on without it: it can't be read or edited"))
}

/// A file stands where a directory was expected: the place itself, or a part of its name.
pub(crate) fn not_directory(workspace: &Workspace, place: &Place) -> Error {
    let ends = place
        .name
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([place.name.len()]);
    let culprit = ends
        .map(|end| workspace.at(&place.name[..end]))
        .find(|part| fs::metadata(&part.path).is_ok_and(|metadata| !metadata.is_dir()));
    let name = culprit.unwrap_or_else(|| place.clone()).shown();
    Error::new("not-directory", format!("`{name}` is a file, a directory was expected"))
        .hint("`read` shows a file; to make a directory of this name, delete or rename the file first")
}

/// Names what is there instead, since a model that guesses once guesses again.
pub(crate) fn not_found(workspace: &Workspace, place: &Place) -> Error {
    let mut wanted = place.clone();
    let mut above = workspace.at("");
    // Goes up to the first directory that is there: `wanted` is then the first part that is not.
    while let Some(parent) = wanted.parent_name() {
        above = workspace.at(parent);
        if fs::metadata(&above.path).is_ok() || above.name.is_empty() {
            break;
        }
        wanted = above.clone();
    }
    let message = match above.name.as_str() {
        "" => format!("there is no `{}` in the workspace", wanted.shown()),
        directory => format!("there is no `{}` in `{}`", shown(wanted.file_name()), shown(directory)),
    };
    let message = if wanted == *place {
        message
    } else {
        format!("`{}` was not found: {message}", place.shown())
    };
    Error::new("not-found", message).hint(not_found_hint(workspace, &above, wanted.file_name()))
}

fn not_found_hint(workspace: &Workspace, directory: &Place, wanted: &str) -> String {
    /// Below this Jaro-Winkler similarity a name is no likely slip.
    const ALIKE: f64 = 0.8;
    if wanted.contains('\\') {
        return "write `/` between the parts of a name, not `\\`".to_owned();
    }
    let mut siblings: Vec<String> = fs::read_dir(&directory.path).map_or_else(
        |_| Vec::new(),
        |entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        },
    );
    if directory.name.is_empty() {
        siblings.extend(workspace.mounts_under("").map(str::to_owned));
    }
    siblings.sort();
    siblings.dedup();
    if siblings.is_empty() {
        return format!("`{}` is empty", directory.shown());
    }
    let full = |name: &String| match directory.name.as_str() {
        "" => format!("`{}`", shown(name)),
        above => format!("`{}`", shown(&format!("{above}/{name}"))),
    };
    let mut alike: Vec<(f64, &String)> = siblings
        .iter()
        .map(|name| (strsim::jaro_winkler(&name.to_lowercase(), &wanted.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    if !alike.is_empty() {
        let names: Vec<_> = alike.iter().take(3).map(|(_, name)| full(name)).collect();
        return format!("did you mean {}?", names.join(" or "));
    }
    let names: Vec<_> = siblings.iter().take(10).map(full).collect();
    let more = if siblings.len() > names.len() {
        ", and more: use `list`"
    } else {
        ""
    };
    format!("there are {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("README.md"), "").unwrap();
        fs::create_dir(root.join("src")).unwrap();
        fs::write(root.join("src/main.rs"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        let workspace = Workspace::new(root, vec!["docs".to_owned()]);
        let check = |name: &str, doing: Doing, kind: ErrorKind, expected: &str| {
            let error = fault(
                &workspace,
                &workspace.place(name).unwrap(),
                doing,
                &io::Error::from(kind),
            );
            let got = format!("{}: {} ({})", error.code, error.message, error.hint.unwrap_or_default());
            assert_eq!(got, expected);
        };
        use Doing::{Reading, Writing};
        check(
            "readme.md",
            Reading,
            ErrorKind::NotFound,
            "not-found: there is no `readme.md` in the workspace (did you mean `README.md`?)",
        );
        check(
            "src/mian.rs",
            Reading,
            ErrorKind::NotFound,
            "not-found: there is no `mian.rs` in `src` (did you mean `src/main.rs`?)",
        );
        check(
            "pkg/deep/x",
            Reading,
            ErrorKind::NotFound,
            "not-found: `pkg/deep/x` was not found: there is no `pkg` in the workspace (there are `README.md`, `docs`, `out`, `src`)",
        );
        check(
            "src\\main.rs",
            Reading,
            ErrorKind::NotFound,
            "not-found: there is no `src\\main.rs` in the workspace (write `/` between the parts of a name, not `\\`)",
        );
        check(
            "README.md/x",
            Writing,
            ErrorKind::NotADirectory,
            "not-directory: `README.md` is a file, a directory was expected (`read` shows a file; to make a directory of this name, delete or rename the file first)",
        );
        check(
            "out/passwd",
            Reading,
            ErrorKind::PermissionDenied,
            "outside-workspace: `out/passwd` is, or lies behind, a link that leads out of the workspace (name the file itself, inside of the workspace)",
        );
        check(
            "README.md",
            Writing,
            ErrorKind::PermissionDenied,
            "read-only-workspace: `README.md` can't be changed: files here may only be read (go on without changing it, or ask the user to grant `files = \"read-write\"`)",
        );
        check(
            "README.md",
            Writing,
            ErrorKind::ReadOnlyFilesystem,
            "read-only-workspace: `README.md` can't be changed: files here may only be read (go on without changing it, or ask the user to grant `files = \"read-write\"`)",
        );
        check(
            "README.md",
            Reading,
            ErrorKind::PermissionDenied,
            "not-permitted: `README.md` may not be read (its permissions keep this process out: ask the user)",
        );
    }
}
