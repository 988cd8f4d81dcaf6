//! Looks at what a name leads to, without opening it and without leaving the directory.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::directory::FileId;

/// Whether the name leads to something that is neither a file nor a directory nor a link. What isn't there is nothing special.
pub(super) fn is_special(directory: &File, name: &str) -> bool {
    look(directory, name, Links::Followed).is_some_and(|found| !found.is_file && !found.is_directory && !found.is_link)
}

/// What a name leads to before a change.
pub(super) struct Target {
    pub(super) id: FileId,
    /// A file is held, so that what becomes of its bytes is seen when the change is over; it is not opened for anything else.
    pub(super) file: Option<Arc<File>>,
}

/// What the name leads to; none where nothing is.
pub(super) fn target(directory: &File, name: &str, links: Links) -> Option<Target> {
    let found = look(directory, name, links)?;
    let file = if found.is_file { found.file } else { None };
    Some(Target { id: found.id, file })
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
pub(super) enum Links {
    Followed,
    AsTheyAre,
}

struct Found {
    id: FileId,
    is_file: bool,
    is_directory: bool,
    is_link: bool,
    file: Option<Arc<File>>,
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
    let stat = fstat(&found).ok()?;
    Some(Found::of(&stat, Some(File::from(found))))
}

/// Other systems have no such call: a name with a link in its middle is looked at through it. A file is opened to be held, and nothing is
/// read from it.
#[cfg(not(target_os = "linux"))]
fn look(directory: &File, name: &str, links: Links) -> Option<Found> {
    use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
    let (at, mut flags) = match links {
        Links::AsTheyAre => (AtFlags::SYMLINK_NOFOLLOW, OFlags::NOFOLLOW),
        Links::Followed => (AtFlags::empty(), OFlags::empty()),
    };
    flags |= OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let stat = statat(directory, name, at).ok()?;
    let file = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => openat(directory, name, flags, Mode::empty()).ok(),
        _ => None,
    };
    Some(Found::of(&stat, file.map(File::from)))
}

impl Found {
    fn of(stat: &rustix::fs::Stat, file: Option<File>) -> Self {
        use rustix::fs::FileType;
        let kind = FileType::from_raw_mode(stat.st_mode);
        Self {
            id: FileId::of(stat),
            is_file: kind == FileType::RegularFile,
            is_directory: kind == FileType::Directory,
            is_link: kind == FileType::Symlink,
            file: file.map(Arc::new),
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
        let check = |name: &str, special: bool, passes: bool, found: Option<bool>| {
            let target = target(&open, name, Links::AsTheyAre).map(|target| target.file.is_some());
            let all = (is_special(&open, name), passes_link(&open, name), target);
            assert_eq!(all, (special, passes, found), "{name}");
        };
        check("pipe", true, false, Some(false));
        check("d/link", true, false, Some(false));
        check("to-d/link", true, true, Some(false));
        check("file", false, false, Some(true));
        check("d", false, false, Some(false));
        check("nothing", false, false, None);
    }
}
