//! Looks at what a name leads to, without opening it and without leaving the directory.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::quota::ENTRY_BYTES;

/// Whether the name leads to something that is neither a file nor a directory nor a link. What isn't there is nothing special.
pub(super) fn is_special(directory: &File, name: &str) -> bool {
    look(directory, name, Links::Followed).is_some_and(|found| !found.is_file && !found.is_directory && !found.is_link)
}

/// What a file takes in the quota; nothing if it isn't there, is no file, or has other names.
pub(super) fn size_of(directory: &File, name: &str) -> u64 {
    match look(directory, name, Links::AsTheyAre) {
        Some(found) if found.is_directory => ENTRY_BYTES,
        Some(found) if found.is_file && found.has_one_name => found.bytes + ENTRY_BYTES,
        Some(_) => ENTRY_BYTES,
        None => 0,
    }
}

/// Whether a directory in the name is a link.
pub(super) fn passes_link(directory: &File, name: &str) -> bool {
    let parts: Vec<&str> = name.trim_end_matches('/').split('/').collect();
    (1..parts.len())
        .any(|end| look(directory, &parts[..end].join("/"), Links::AsTheyAre).is_some_and(|found| found.is_link))
}

/// How many entries a directory has, until they are more than the limit.
pub(super) async fn entries(directory: Arc<File>, limit: usize) -> io::Result<usize> {
    let counted = tokio::task::spawn_blocking(move || {
        let mut sum = 0;
        for entry in rustix::fs::Dir::read_from(&directory)? {
            let name = entry?;
            if !matches!(name.file_name().to_bytes(), b"." | b"..") {
                sum += 1;
            }
            if sum > limit {
                break;
            }
        }
        Ok(sum)
    });
    counted.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    AsTheyAre,
}

struct Found {
    is_file: bool,
    is_directory: bool,
    is_link: bool,
    bytes: u64,
    has_one_name: bool,
}

/// None for what isn't there, or lies outside.
#[cfg(target_os = "linux")]
fn look(directory: &File, name: &str, links: Links) -> Option<Found> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2};
    let name = match name.trim_end_matches('/') {
        "" => ".",
        name => name,
    };
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    if links == Links::AsTheyAre {
        flags |= OFlags::NOFOLLOW;
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(directory, name, flags, Mode::empty(), resolve).ok()?;
    fstat(&found).ok().map(|stat| Found::of(&stat))
}

/// Other systems have no such call: a name with a link in its middle is looked at through it, and nothing is opened either.
#[cfg(not(target_os = "linux"))]
fn look(directory: &File, name: &str, links: Links) -> Option<Found> {
    use rustix::fs::{AtFlags, statat};
    let flags = if links == Links::AsTheyAre {
        AtFlags::SYMLINK_NOFOLLOW
    } else {
        AtFlags::empty()
    };
    statat(directory, name, flags).ok().map(|stat| Found::of(&stat))
}

impl Found {
    fn of(stat: &rustix::fs::Stat) -> Self {
        use rustix::fs::FileType;
        let kind = FileType::from_raw_mode(stat.st_mode);
        Self {
            is_file: kind == FileType::RegularFile,
            is_directory: kind == FileType::Directory,
            is_link: kind == FileType::Symlink,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            has_one_name: stat.st_nlink == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_special_and_is_not_opened() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .expect("a pipe");
        std::fs::write(path.join("file"), "12345").expect("a file");
        std::fs::create_dir(path.join("d")).expect("a directory");
        std::os::unix::fs::symlink("../pipe", path.join("d/link")).expect("a link");
        std::os::unix::fs::symlink("d", path.join("to-d")).expect("a link");
        let open = File::open(path).expect("the directory");
        let check = |name: &str, special: bool, passes: bool, bytes: u64| {
            let found = (is_special(&open, name), passes_link(&open, name), size_of(&open, name));
            assert_eq!(found, (special, passes, bytes), "{name}");
        };
        check("pipe", true, false, ENTRY_BYTES);
        check("d/link", true, false, ENTRY_BYTES);
        check("to-d/link", true, true, ENTRY_BYTES);
        check("file", false, false, ENTRY_BYTES + 5);
        check("d", false, false, ENTRY_BYTES);
        check("nothing", false, false, 0);
    }
}
