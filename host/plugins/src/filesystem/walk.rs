//! Counts what is in a directory, without following a link and without leaving it.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::directory::{ENTRY_BYTES, FileId};

/// Directories in directories that are counted. What lies deeper counts as if it filled the room, so that nothing can be hidden there; each level
/// takes an open file of the host's.
const MAX_DEPTH: usize = 64;

/// Bytes of files and entries of directories, until they are more than the limit. Files with several names count once, `open` ones as entries
/// alone: their bytes are known to who has them open.
pub(super) fn bytes_under(directory: &File, open: &HashSet<FileId>, limit: u64) -> u64 {
    let mut walk = Walk {
        open,
        seen: HashSet::new(),
        sum: 0,
        limit,
    };
    match walk.all(directory) {
        Ok(()) => walk.sum,
        // What can't be counted is not taken for room.
        Err(_) => walk.sum.max(limit.saturating_add(1)),
    }
}

struct Walk<'a> {
    open: &'a HashSet<FileId>,
    seen: HashSet<FileId>,
    sum: u64,
    limit: u64,
}

/// A directory that is still to be looked into, by its name in the one above.
struct Below {
    parent: Rc<OwnedFd>,
    name: std::ffi::CString,
    depth: usize,
}

impl Walk<'_> {
    fn all(&mut self, directory: &File) -> rustix::io::Result<()> {
        let root = Rc::new(open(directory, c".")?);
        let mut rest = Vec::new();
        self.one(&root, 0, &mut rest)?;
        while let Some(below) = rest.pop() {
            if self.sum > self.limit {
                return Ok(());
            }
            if below.depth > MAX_DEPTH {
                return Err(Errno::NAMETOOLONG);
            }
            match open(&*below.parent, &below.name) {
                Ok(opened) => self.one(&Rc::new(opened), below.depth, &mut rest)?,
                // It is gone, it is no directory any more, or nobody of ours can write in it either.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn one(&mut self, directory: &Rc<OwnedFd>, depth: usize, rest: &mut Vec<Below>) -> rustix::io::Result<()> {
        for entry in Dir::read_from(&**directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = statat(&**directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            self.sum = self.sum.saturating_add(ENTRY_BYTES);
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => rest.push(Below {
                    parent: directory.clone(),
                    name: name.to_owned(),
                    depth: depth + 1,
                }),
                FileType::RegularFile => self.file(&stat),
                _ => {}
            }
            if self.sum > self.limit {
                break;
            }
        }
        Ok(())
    }

    fn file(&mut self, stat: &rustix::fs::Stat) {
        let id = FileId::of(stat);
        let counts = !self.open.contains(&id) && (stat.st_nlink == 1 || self.seen.insert(id));
        if counts {
            self.sum = self.sum.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
        }
    }
}

fn open(parent: impl std::os::fd::AsFd, name: &std::ffi::CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_counts_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        let handle = File::open(path).expect("the directory");
        let check = |open: &HashSet<FileId>, limit: u64, expected: u64| {
            assert_eq!(bytes_under(&handle, open, limit), expected);
        };
        let none = HashSet::new();
        check(&none, u64::MAX, 0);
        fs::create_dir(path.join("d")).expect("a directory");
        fs::write(path.join("d/f"), [0; 1_000]).expect("a file");
        check(&none, u64::MAX, 2 * ENTRY_BYTES + 1_000);
        // A second name is an entry and no more; a link is not followed.
        fs::hard_link(path.join("d/f"), path.join("d/g")).expect("a second name");
        symlink("/usr", path.join("usr")).expect("a link");
        check(&none, u64::MAX, 4 * ENTRY_BYTES + 1_000);
        let file = File::open(path.join("d/f")).expect("the file");
        let open = HashSet::from([FileId::of(&rustix::fs::fstat(&file).expect("a file"))]);
        check(&open, u64::MAX, 4 * ENTRY_BYTES);
        assert!(bytes_under(&handle, &none, 10) > 10);
    }

    /// So deep that its path is longer than any system call takes.
    #[test]
    fn nothing_is_hidden_by_depth() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut at = File::open(directory.path()).expect("the directory");
        let root = at.try_clone().expect("the directory");
        for _ in 0..=MAX_DEPTH + 1 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("a directory");
            at = File::from(open(&at, c"d").expect("the directory"));
        }
        assert_eq!(bytes_under(&root, &HashSet::new(), 1 << 40), (1 << 40) + 1);
    }
}
