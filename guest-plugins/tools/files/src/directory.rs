//! What is in one directory, and how many entries could not be read.

use std::fs;
use std::io;

use crate::workspace::Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Names and kinds, in no order.
    pub(crate) entries: Vec<(String, Kind)>,
    /// Names that are not UTF-8 can't be told to a guest.
    pub(crate) unreadable: u64,
}

/// The standard library stops at the first entry that can't be read and the rest would be missing, so this asks WASI itself.
#[cfg(target_arch = "wasm32")]
pub(crate) fn read(place: &Place) -> io::Result<Content> {
    use wasip2::filesystem::types::{DescriptorFlags, DescriptorType, OpenFlags, PathFlags};

    // Opening by the standard library gives its errors, which `fault` knows.
    drop(fs::read_dir(&place.path)?);
    let (descriptor, path) = crate::workspace::preopened(&place.name).ok_or(io::ErrorKind::NotFound)?;
    let refused = |code: wasip2::filesystem::types::ErrorCode| io::Error::other(code.name());
    let directory = descriptor
        .open_at(
            PathFlags::SYMLINK_FOLLOW,
            &path,
            OpenFlags::DIRECTORY,
            DescriptorFlags::READ,
        )
        .map_err(refused)?;
    let stream = directory.read_directory().map_err(refused)?;
    let mut content = Content::default();
    loop {
        match stream.read_directory_entry() {
            Ok(Some(entry)) => {
                let kind = match entry.type_ {
                    DescriptorType::RegularFile => Kind::File,
                    DescriptorType::Directory => Kind::Directory,
                    DescriptorType::SymbolicLink => Kind::Link,
                    _ => Kind::Other,
                };
                content.entries.push((entry.name, kind));
            }
            Ok(None) => return Ok(content),
            // A host that fails each time must not keep this going.
            Err(code) if content.unreadable == MAX_UNREADABLE => return Err(refused(code)),
            Err(_) => content.unreadable += 1,
        }
    }
}

#[cfg(target_arch = "wasm32")]
const MAX_UNREADABLE: u64 = 10_000;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn read(place: &Place) -> io::Result<Content> {
    let mut content = Content::default();
    for entry in fs::read_dir(&place.path)? {
        let entry = entry?;
        let file_type = entry.file_type()?;
        let kind = if file_type.is_symlink() {
            Kind::Link
        } else if file_type.is_dir() {
            Kind::Directory
        } else if file_type.is_file() {
            Kind::File
        } else {
            Kind::Other
        };
        match entry.file_name().into_string() {
            Ok(name) => content.entries.push((name, kind)),
            Err(_) => content.unreadable += 1,
        }
    }
    Ok(content)
}
