//! Finds components: `*.wasm` in the configured directories, and the bundled ones.

use std::path::{Path, PathBuf};

use sandbar_protocol::manifest::Manifest;
use sandbar_protocol::{Error, ErrorKind, Result, is_unseen};

use crate::digest::{DigestMemo, sha256};
use crate::error::broken;
use crate::limits::MAX_COMPONENT_BYTES;
use crate::manifest;
use crate::regular_file::read_regular;

/// Where a plugin came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    /// Carried by the program. It gets nothing for that.
    Bundled,
}

/// A component that the program carries.
#[derive(Debug, Clone, Copy)]
pub struct Bundled {
    pub name: &'static str,
    pub component: &'static [u8],
    pub manifest: &'static str,
}

/// A component file, before anything is known of it.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) content: Result<Content>,
}

#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) digest: String,
    pub(crate) bytes: u64,
    pub(crate) manifest: Option<Manifest>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory(&'static [u8]),
    File(PathBuf),
}

impl Content {
    /// The component's bytes, which are only needed to compile it. They must still be those of the digest.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        match &self.source {
            Source::Memory(bytes) => Ok(bytes.to_vec()),
            Source::File(path) => {
                let bytes = read_regular(path, MAX_COMPONENT_BYTES).map_err(|error| unreadable(path, &error))?;
                if sha256(&bytes) != self.digest {
                    return Err(
                        broken("changed", format!("`{}` changed while it was read", path.display()))
                            .with_hint("start again when it is written"),
                    );
                }
                Ok(bytes)
            }
        }
    }
}

/// Everything that ends in `.wasm`, sorted by name within a directory; directories in the order of the configuration, bundled last.
pub(crate) fn discover(directories: &[PathBuf], bundled: &[Bundled], memo: &mut DigestMemo) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for directory in directories {
        let mut paths = wasm_files(directory)?;
        paths.sort();
        candidates.extend(paths.iter().map(|path| from_file(path, memo)));
    }
    candidates.extend(bundled.iter().map(from_bundle));
    Ok(candidates)
}

fn wasm_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source: std::io::Error| {
        Error::new(
            ErrorKind::Config,
            "no-plugin-directory",
            format!("the plugin directory `{}` can't be read: {source}", directory.display()),
        )
        .with_hint(format!(
            "create it (mkdir -p {}), or take it out of `plugins.directories`",
            directory.display()
        ))
        .with_source(source)
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn from_file(path: &Path, memo: &mut DigestMemo) -> Candidate {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Candidate {
        name: stem.replace(|c: char| c.is_control() || is_unseen(c), "\u{fffd}"),
        origin: Origin::File(path.to_owned()),
        content: check_name(&stem).and_then(|()| read(path, memo)),
    }
}

fn read(path: &Path, memo: &mut DigestMemo) -> Result<Content> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(broken("not-a-file", format!("`{}` is not a file", path.display()))
            .with_hint("put the component itself there"));
    }
    if metadata.len() > MAX_COMPONENT_BYTES {
        return Err(broken(
            "too-large",
            format!(
                "it has {} MiB, the limit is {} MiB",
                metadata.len() >> 20,
                MAX_COMPONENT_BYTES >> 20
            ),
        )
        .with_hint("strip debug information, or build it optimised for size"));
    }
    let manifest = manifest::read(&path.with_extension("toml"))?;
    let digest = match memo.get(path, &metadata) {
        Some(digest) => digest,
        None => {
            let digest = sha256(&read_regular(path, MAX_COMPONENT_BYTES).map_err(|error| unreadable(path, &error))?);
            memo.put(path, &metadata, &digest);
            digest
        }
    };
    Ok(Content {
        digest,
        bytes: metadata.len(),
        manifest,
        source: Source::File(path.to_owned()),
    })
}

fn from_bundle(bundled: &Bundled) -> Candidate {
    let content = Manifest::parse(bundled.manifest, bundled.name).map(|manifest| Content {
        digest: sha256(bundled.component),
        bytes: bundled.component.len() as u64,
        manifest: Some(manifest),
        source: Source::Memory(bundled.component),
    });
    Candidate {
        name: bundled.name.to_owned(),
        origin: Origin::Bundled,
        content,
    }
}

/// A plugin's name is part of its tools' names, which models' providers restrict.
fn check_name(name: &str) -> Result<()> {
    // What begins like a flag can't be named on a command line.
    let fits = (1..=40).contains(&name.len())
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if fits && !name.contains("__") {
        return Ok(());
    }
    Err(broken("bad-name", "its file name can't be a plugin's name")
        .with_hint("rename it: 1 to 40 of A-Z a-z 0-9 _ -, without `__`, and no `-` at the beginning"))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    broken("unreadable", format!("`{}` can't be read: {error}", path.display()))
        .with_hint("let this user read it, or take it out of the directory")
}
