//! What the program carries for authors: `wit/…`, `sdk/…` and `templates/<language>/<kind>/…`, packed by the build script.

use std::io::Write as _;
use std::path::Path;

use sandbar::protocol::Result;

use crate::failure::file_failed;

const PACKED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/packed.rs"));

/// The files of one packed directory, with their names in it.
pub(crate) fn files(directory: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let inside = move |name: &'static str| name.strip_prefix(directory)?.strip_prefix('/');
    PACKED
        .iter()
        .filter_map(move |(name, text)| Some((inside(name)?, *text)))
}

/// Writes a file that must not be there, with the directories above it.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<()> {
    let failed = |error| file_failed("write", path, error);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| file_failed("create", parent, error))?;
    }
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_packed() {
        let check = |directory: &str, name: &str| assert!(files(directory).any(|(found, _)| found == name), "{name}");
        check("wit", "tool.wit");
        check("sdk", "src/lib.rs");
        for language in ["rust", "python", "javascript"] {
            for kind in ["tool", "pattern"] {
                for name in ["NAME.toml", "tests/NAME.toml", "README.md", ".gitignore"] {
                    check(&format!("templates/{language}/{kind}"), name);
                }
            }
        }
    }

    #[test]
    fn the_sdk_stands_alone() {
        for (name, text) in files("sdk") {
            assert!(!text.contains("workspace = true") && !text.contains("../"), "{name}");
        }
    }
}
