//! The workspace and names in it.

use std::fs;
use std::path::{Path, PathBuf};

use sandbar_sdk::{Context, Error};

use crate::text::shown;

/// The longest name that is accepted, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// What was granted: the workspace at `root`, and mounts such as `docs` beside its files.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    /// Names of mounts, normalised, sorted.
    mounts: Vec<String>,
    /// Only say what would be changed.
    pub(crate) preview: bool,
}

/// A name in the workspace, checked and normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Relative to the workspace, `/` between parts, empty for the root.
    pub(crate) name: String,
    /// Where the file system knows it.
    pub(crate) path: PathBuf,
}

impl Workspace {
    /// What the host has granted to this instance.
    pub(crate) fn granted() -> Result<Self, Error> {
        let preopens = preopens();
        if preopens.is_empty() {
            return Err(Error::new("no-workspace", "this plugin was granted no files")
                .hint("the operator can grant `files = \"read-only\"` or `\"read-write\"` to it"));
        }
        let names = preopens.iter().filter_map(|name| normalised(name));
        Ok(Self::new("/", names.filter(|name| !name.is_empty()).collect()))
    }

    pub(crate) fn new(root: impl Into<PathBuf>, mut mounts: Vec<String>) -> Self {
        mounts.sort();
        Self {
            root: root.into(),
            mounts,
            preview: false,
        }
    }

    pub(crate) fn for_call(mut self, context: &Context) -> Self {
        self.preview = context.is_preview();
        self
    }

    /// Checks a name as the model wrote it.
    pub(crate) fn place(&self, name: &str) -> Result<Place, Error> {
        let bad = |what: &str| {
            Err(Error::new("invalid-input", format!("`path` {what}")).hint("`.` names the root of the workspace"))
        };
        if name.trim().is_empty() {
            return bad("is empty, a name was expected");
        }
        if name.contains('\0') {
            return bad("has a NUL character, a name was expected");
        }
        if name.len() > MAX_NAME_BYTES {
            return bad(&format!(
                "is {} bytes long, at most {MAX_NAME_BYTES} were expected",
                name.len()
            ));
        }
        match normalised(name) {
            Some(name) => Ok(self.at(name)),
            None => Err(Error::new(
                "outside-workspace",
                format!("`{}` leads out of the workspace", shown(name)),
            )
            .hint("names are relative to the root of the workspace: leave out the leading `..`")),
        }
    }

    /// A place by its normalised name.
    pub(crate) fn at(&self, name: impl Into<String>) -> Place {
        let name = name.into();
        let path = if name.is_empty() {
            self.root.clone()
        } else {
            self.root.join(&name)
        };
        Place { name, path }
    }

    /// Mounts at or under a directory.
    pub(crate) fn mounts_under(&self, directory: &str) -> impl Iterator<Item = &str> {
        let inside = move |name: &&String| {
            directory.is_empty()
                || name
                    .strip_prefix(directory)
                    .is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
        };
        self.mounts.iter().filter(inside).map(String::as_str)
    }

    /// Whether a name, or a directory above it, is a symbolic link: the host refuses one that leads out.
    pub(crate) fn passes_link(&self, place: &Place) -> bool {
        let mut path = self.root.clone();
        Path::new(&place.name).components().any(|part| {
            path.push(part);
            fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink())
        })
    }
}

impl Place {
    /// As the model should write it.
    pub(crate) fn shown(&self) -> String {
        if self.name.is_empty() {
            "/".to_owned()
        } else {
            shown(&self.name)
        }
    }

    /// The last part.
    pub(crate) fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// The name of the directory that it is in; none for the root.
    pub(crate) fn parent_name(&self) -> Option<&str> {
        if self.name.is_empty() {
            return None;
        }
        Some(self.name.rsplit_once('/').map_or("", |(parent, _)| parent))
    }
}

/// Without `.`, empty parts and `..`; none if it leads above the root.
fn normalised(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(target_arch = "wasm32")]
fn preopens() -> Vec<String> {
    let directories = wasip2::filesystem::preopens::get_directories();
    directories.into_iter().map(|(_, name)| name).collect()
}

/// The directory that the host has opened for a name, and the rest of the name.
#[cfg(target_arch = "wasm32")]
pub(crate) fn preopened(name: &str) -> Option<(wasip2::filesystem::types::Descriptor, String)> {
    let holds = |(descriptor, preopen): (_, String)| {
        let preopen = normalised(&preopen)?;
        let rest = match preopen.as_str() {
            "" => name,
            preopen => name.strip_prefix(preopen)?,
        };
        let whole_part = preopen.is_empty() || rest.is_empty() || rest.starts_with('/');
        let rest = rest.trim_start_matches('/');
        let rest = if rest.is_empty() { "." } else { rest };
        whole_part.then(|| (preopen.len(), descriptor, rest.to_owned()))
    };
    let directories = wasip2::filesystem::preopens::get_directories();
    let longest = directories
        .into_iter()
        .filter_map(holds)
        .max_by_key(|(length, ..)| *length)?;
    Some((longest.1, longest.2))
}

/// Natively the current directory stands for the workspace; tests name their own.
#[cfg(not(target_arch = "wasm32"))]
fn preopens() -> Vec<String> {
    vec![".".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let workspace = Workspace::new("/", Vec::new());
        let check = |name: &str, expected: &str| {
            let got = match workspace.place(name) {
                Ok(place) => place.shown(),
                Err(error) => error.code,
            };
            assert_eq!(got, expected, "{name:?}");
        };
        check(".", "/");
        check("/", "/");
        check("a/b", "a/b");
        check("/a//b/", "a/b");
        check("./a/../b", "b");
        check("a/..", "/");
        check("..", "outside-workspace");
        check("a/../../b", "outside-workspace");
        check("/../etc/passwd", "outside-workspace");
        check("a\0b", "invalid-input");
        check("", "invalid-input");
        check("  ", "invalid-input");
        check(&"x".repeat(5000), "invalid-input");
        check("...", "...");
        check("ä ö", "ä ö");
    }

    #[test]
    fn mounts() {
        let workspace = Workspace::new("/", vec!["docs".to_owned(), "data/sets".to_owned()]);
        let check = |directory: &str, expected: &[&str]| {
            assert_eq!(workspace.mounts_under(directory).collect::<Vec<_>>(), expected);
        };
        check("", &["data/sets", "docs"]);
        check("data", &["data/sets"]);
        check("docs", &["docs"]);
        check("doc", &[]);
    }
}
