//! Writing a file so that a process that is killed leaves the old content or the new, never half of it.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use crate::workspace::Place;

/// Writes to a temporary file beside and renames it.
///
/// Two kinds of files are written in place: a link, since renaming would put a file in its stead; and a script (`#!`), since
/// WASI can't give a new file the permission to be executed and the script would lose it.
pub(crate) fn save(place: &Place, content: &[u8]) -> io::Result<()> {
    let in_place = match fs::symlink_metadata(&place.path) {
        Ok(metadata) => metadata.is_symlink() || is_script(&place.path),
        Err(_) => false,
    };
    if in_place {
        return write_all(File::create(&place.path)?, content);
    }
    let mut hasher = DefaultHasher::new();
    place.name.hash(&mut hasher);
    let temporary = place
        .path
        .with_file_name(format!(".sandbar-{:016x}.tmp", hasher.finish()));
    let saved = create_new(&temporary)
        .and_then(|file| write_all(file, content))
        .and_then(|()| fs::rename(&temporary, &place.path));
    if saved.is_err() {
        // What counts is why saving failed, not whether the remains could be removed.
        let _ = fs::remove_file(&temporary);
    }
    saved
}

/// Calls for one file come one after the other, so a temporary file of its name is what a killed call has left.
fn create_new(path: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).open(path);
    match create() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        result => result,
    }
}

fn write_all(mut file: File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_data()
}

fn is_script(path: &Path) -> bool {
    let mut head = [0; 2];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok()) && head == *b"#!"
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn what_is_replaced_and_what_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let workspace = Workspace::new(root, Vec::new());
        fs::write(root.join("plain"), "old").unwrap();
        fs::write(root.join("script"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("plain", root.join("link")).unwrap();
        let check = |name: &str, same_file: bool| {
            let place = workspace.place(name).unwrap();
            let before = fs::symlink_metadata(&place.path).unwrap();
            save(&place, b"new").unwrap();
            let after = fs::symlink_metadata(&place.path).unwrap();
            assert_eq!(fs::read(&place.path).unwrap(), b"new");
            assert_eq!((before.ino() == after.ino()), same_file, "{name}");
            assert_eq!(before.mode(), after.mode(), "{name}");
        };
        check("link", true);
        check("plain", false);
        check("script", true);
        assert_eq!(fs::read_dir(root).unwrap().count(), 3);
    }

    #[test]
    fn the_remains_of_a_killed_call_do_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(directory.path(), Vec::new());
        let place = workspace.place("a").unwrap();
        save(&place, b"1").unwrap();
        let mut hasher = DefaultHasher::new();
        "a".hash(&mut hasher);
        let left = directory.path().join(format!(".sandbar-{:016x}.tmp", hasher.finish()));
        fs::write(&left, "half").unwrap();
        save(&place, b"2").unwrap();
        assert_eq!((fs::read(&place.path).unwrap(), left.exists()), (b"2".to_vec(), false));
    }
}
