//! Files as they were before a tool changed them, to bring them back.
//!
//! The directory is held open and paths are resolved in it, so that nothing outside of it can be read or written, whatever a path or
//! a link says.

use std::collections::VecDeque;
use std::io::{self, ErrorKind as IoErrorKind, Read as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Permissions};
use serde_json::Value;
use similar::TextDiff;

use crate::lines::size;

/// A larger file is not kept.
const MAX_BYTES: u64 = 8 << 20;
/// How many changes can be undone.
const MAX_KEPT: usize = 20;

/// The last changes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Undo {
    kept: VecDeque<Kept>,
}

/// One file before one change.
#[derive(Debug)]
pub(super) struct Kept {
    /// As the tool was given it.
    pub(super) name: String,
    file: Result<(Place, Content), String>,
}

#[derive(Debug)]
struct Place {
    directory: Dir,
    path: PathBuf,
}

#[derive(Debug)]
enum Content {
    Absent,
    File { bytes: Vec<u8>, permissions: Permissions },
}

impl Undo {
    /// Keeps a file before it is changed. What can't be kept is remembered, too: an earlier change is not the last one.
    pub(super) fn keep(&mut self, directory: &Path, path: &Path, name: &str) {
        // A session's own directory may be made only with its first file, which is about to be written.
        let made = std::fs::create_dir_all(directory);
        let opened = made.and_then(|()| Dir::open_ambient_dir(directory, ambient_authority()));
        let file = opened.map_err(|error| error.to_string()).and_then(|directory| {
            let place = Place {
                directory,
                path: path.to_owned(),
            };
            let content = place.content()?;
            Ok((place, content))
        });
        self.push(name, file);
    }

    /// Remembers a change of which nothing was known before it happened.
    pub(super) fn miss(&mut self, name: &str) {
        let why = "its tool may be called without asking, so that there was no time to keep the file".to_owned();
        self.push(name, Err(why));
    }

    fn push(&mut self, name: &str, file: Result<(Place, Content), String>) {
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept {
            name: name.to_owned(),
            file,
        });
    }

    /// The last change that would be undone. Those that left their file as it was - the tool failed - are forgotten.
    pub(super) fn pop(&mut self) -> Option<(Kept, Result<String, String>)> {
        while let Some(kept) = self.kept.pop_back() {
            match kept.difference() {
                Ok(None) => {}
                Ok(Some(difference)) => return Some((kept, Ok(difference))),
                Err(why) => return Some((kept, Err(why))),
            }
        }
        None
    }

    /// Takes back what was popped and not restored.
    pub(super) fn put_back(&mut self, kept: Kept) {
        self.kept.push_back(kept);
    }
}

impl Kept {
    /// What restoring would change, as a unified diff; none if nothing.
    fn difference(&self) -> Result<Option<String>, String> {
        let (place, before) = self.file.as_ref().map_err(Clone::clone)?;
        let now = place.content()?;
        Ok((now.bytes() != before.bytes()).then(|| diff(&self.name, now.bytes(), before.bytes())))
    }

    pub(super) fn restore(&self) -> Result<(), String> {
        let (place, before) = self.file.as_ref().map_err(Clone::clone)?;
        place.restore(before).map_err(|error| error.to_string())
    }
}

impl Place {
    fn content(&self) -> Result<Content, String> {
        let metadata = match self.directory.metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(Content::Absent),
            Err(error) => return Err(error.to_string()),
        };
        if !metadata.is_file() {
            return Err("it is no file".to_owned());
        }
        let mut bytes = Vec::new();
        let read = self.directory.open(&self.path).and_then(|file| {
            // It may grow while it is read.
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes)
        });
        read.map_err(|error| error.to_string())?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("it has more than {}", size(MAX_BYTES as usize)));
        }
        Ok(Content::File {
            bytes,
            permissions: metadata.permissions(),
        })
    }

    fn restore(&self, content: &Content) -> io::Result<()> {
        match content {
            Content::Absent => self.directory.remove_file(&self.path),
            Content::File { bytes, permissions } => {
                if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    self.directory.create_dir_all(parent)?;
                }
                self.directory.write(&self.path, bytes)?;
                self.directory.set_permissions(&self.path, permissions.clone())
            }
        }
    }
}

impl Content {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Absent => None,
            Self::File { bytes, .. } => Some(bytes),
        }
    }
}

/// The file that a call works on, from the tool's resource key `file:{POINTER}` and the call's arguments: as it was written, and from
/// the root that the tool sees. None for tools with another key or without one.
pub(super) fn target<'a>(resource: Option<&str>, arguments: &'a Value) -> Option<(&'a str, PathBuf)> {
    let pointer = resource?.strip_prefix("file:{")?.strip_suffix('}')?;
    let name = arguments.pointer(pointer)?.as_str()?;
    let mut path = PathBuf::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    Some((name, path))
}

fn diff(name: &str, now: Option<&[u8]>, before: Option<&[u8]>) -> String {
    let text = |bytes: Option<&[u8]>| match bytes {
        None => Some(String::new()),
        Some(bytes) if bytes.contains(&0) => None,
        Some(bytes) => String::from_utf8(bytes.to_vec()).ok(),
    };
    let side = |bytes: Option<&[u8]>| bytes.map_or("/dev/null", |_| name).to_owned();
    match (text(now), text(before)) {
        (Some(from), Some(to)) => TextDiff::from_lines(&from, &to)
            .unified_diff()
            .context_radius(3)
            .header(&side(now), &side(before))
            .to_string(),
        _ => {
            let told = |bytes: Option<&[u8]>| bytes.map_or("not there".to_owned(), |bytes| size(bytes.len()));
            format!("no text: now {}, then {}\n", told(now), told(before))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// Keeps `a.txt`, changes it, and says what undoing shows and leaves.
    fn check(before: Option<&[u8]>, after: Option<&[u8]>, expected: Option<&str>) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let put = |content: Option<&[u8]>| match content {
            Some(content) => fs::write(root.join("a.txt"), content).unwrap(),
            None => drop(fs::remove_file(root.join("a.txt"))),
        };
        put(before);
        let mut undo = Undo::default();
        undo.keep(root, Path::new("a.txt"), "a.txt");
        put(after);
        let popped = undo.pop();
        let shown = popped.as_ref().map(|(_, difference)| difference.clone().unwrap());
        assert_eq!(shown.as_deref(), expected);
        if let Some((kept, _)) = popped {
            kept.restore().unwrap();
        }
        assert_eq!(fs::read(root.join("a.txt")).ok().as_deref(), before);
        assert!(undo.pop().is_none());
    }

    #[test]
    fn a_change_is_undone() {
        check(
            Some(b"one\n"),
            Some(b"two\n"),
            Some("--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-two\n+one\n"),
        );
        check(
            None,
            Some(b"new\n"),
            Some("--- a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-new\n"),
        );
        check(
            Some(b"old\n"),
            None,
            Some("--- /dev/null\n+++ a.txt\n@@ -0,0 +1 @@\n+old\n"),
        );
        check(Some(b"\0\xff"), Some(b"text"), Some("no text: now 4 B, then 2 B\n"));
        check(Some(b"same"), Some(b"same"), None);
        check(None, None, None);
    }

    #[test]
    fn changes_are_undone_one_by_one_and_directories_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let (root, path) = (directory.path(), Path::new("deep/down.txt"));
        let mut undo = Undo::default();
        fs::create_dir(root.join("deep")).unwrap();
        for text in ["1", "2"] {
            fs::write(root.join(path), text).unwrap();
            undo.keep(root, path, "deep/down.txt");
        }
        fs::remove_dir_all(root.join("deep")).unwrap();
        for text in ["2", "1"] {
            undo.pop().unwrap().0.restore().unwrap();
            assert_eq!(fs::read_to_string(root.join(path)).unwrap(), text);
        }
    }

    #[test]
    fn what_can_not_be_kept_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let (outside, root) = (directory.path().join("secret"), directory.path().join("work"));
        fs::write(&outside, "secret").unwrap();
        fs::create_dir_all(root.join("folder")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        fs::File::create(root.join("large"))
            .unwrap()
            .set_len(MAX_BYTES + 1)
            .unwrap();
        for (path, expected) in [
            ("folder", "it is no file"),
            ("large", "it has more than 8.3 MB"),
            ("link", ""),
        ] {
            let mut undo = Undo::default();
            undo.keep(&root, Path::new(path), path);
            let (_, difference) = undo.pop().unwrap();
            assert!(
                difference.as_ref().unwrap_err().contains(expected),
                "{path}: {difference:?}"
            );
        }
    }

    #[test]
    fn the_first_file_of_a_new_directory_can_be_undone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("not/yet");
        let mut undo = Undo::default();
        undo.keep(&root, Path::new("a"), "a");
        fs::write(root.join("a"), "text").unwrap();
        undo.pop().unwrap().0.restore().unwrap();
        assert!(!root.join("a").exists());
    }

    #[test]
    fn few_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut undo = Undo::default();
        for _ in 0..=MAX_KEPT {
            undo.keep(directory.path(), Path::new("a"), "a");
        }
        assert_eq!(undo.kept.len(), MAX_KEPT);
    }

    #[test]
    fn targets() {
        let check = |resource: Option<&str>, arguments: Value, expected: Option<&str>| {
            let found = target(resource, &arguments).map(|(_, path)| path.display().to_string());
            assert_eq!(found.as_deref(), expected);
        };
        let file = Some("file:{/path}");
        check(file, json!({ "path": "a/b.md" }), Some("a/b.md"));
        check(file, json!({ "path": "/a/./c/../b.md" }), Some("a/b.md"));
        check(file, json!({ "path": "../../etc" }), Some("etc"));
        check(file, json!({ "path": 1 }), None);
        check(file, json!({}), None);
        check(Some("row:{/path}"), json!({ "path": "a" }), None);
        check(Some("file:x/{/path}"), json!({ "path": "a" }), None);
        check(None, json!({ "path": "a" }), None);
    }
}
