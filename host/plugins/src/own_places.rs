//! Sandbar's own places: its data, what it is configured by, and the files of secrets. They are in no guest's hands, also where they lie in a
//! directory that a guest was given. Which places there are the runtime says; `filesystem/guard.rs` asks here for each name.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use crate::filesystem::FileId;

/// How many directories may lie above one: of what lies deeper nobody can say in time where it is.
const MAX_ABOVE: usize = 512;

/// As many links as the kernel follows.
pub(crate) const MAX_LINKS: usize = 40;

/// What is left to guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// They may read it.
    Unchanged,
    /// They may not even do that.
    Hidden,
}

/// A file or a directory, with all that is in it; or the name of one that isn't there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPlace {
    pub path: PathBuf,
    /// What it is, for people.
    pub what: &'static str,
    pub kept: Kept,
}

/// All of them, as a host knows them.
#[derive(Debug, Default)]
pub struct OwnPlaces(Vec<Known>);

/// A place by the directory that it is in, which is held, and its name there.
#[derive(Debug)]
struct Known {
    parent: OwnedFd,
    parent_id: FileId,
    name: OsString,
    path: PathBuf,
    what: &'static str,
    kept: Kept,
}

/// How a path is gone through.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    /// The links that are passed, each by the directory that it is in.
    links: Vec<PathBuf>,
    /// Where it ends, whether or not something is there; nowhere if links lead round and round.
    end: Option<PathBuf>,
}

/// The places, and the numbers of what has their names at the moment.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    places: &'a OwnPlaces,
    ids: Vec<Option<FileId>>,
}

/// What of a place an operation would touch.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) kept: Kept,
}

impl OwnPlaces {
    /// Of a place whose directory isn't there, the first part of its path that isn't is kept: whoever made that would make the place. The
    /// links on the way to a place are kept, too: whoever changed one would say where the place is.
    pub fn new(places: impl IntoIterator<Item = OwnPlace>) -> Self {
        let mut known = Vec::new();
        for place in places {
            let way = Way::to(&place.path);
            let end = way.end.map(|path| OwnPlace { path, ..place.clone() });
            let links = way.links.into_iter().map(|path| OwnPlace {
                path,
                what: place.what,
                kept: Kept::Unchanged,
            });
            let found = [place.clone()].into_iter().chain(end).chain(links);
            known.extend(found.filter_map(Known::of));
        }
        // Of two for one name the stricter one is what counts.
        known.sort_by(|one, other| one.key().cmp(&other.key()).then(other.kept.cmp(&one.kept)));
        known.dedup_by(|later, kept| later.key() == kept.key());
        Self(known)
    }

    /// Whether one of them lies in a directory.
    pub(crate) fn lie_in(&self, directory: impl AsFd) -> bool {
        let Ok(stat) = fstat(directory) else { return false };
        let id = FileId::of(&stat);
        self.0.iter().any(|known| known.is_below(id))
    }

    /// The names in a directory of what guests may not even read.
    pub(crate) fn hidden_in(&self, directory: FileId) -> Vec<OsString> {
        let hidden = self.0.iter().filter(|known| known.kept == Kept::Hidden);
        let here = hidden.filter(|known| known.parent_id == directory);
        here.map(|known| known.name.clone()).collect()
    }

    pub(crate) fn now(&self) -> Now<'_> {
        Now {
            places: self,
            ids: self.0.iter().map(Known::id).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Now<'_> {
    /// The place that a directory is, with the strictest rule.
    pub(crate) fn at(&self, directory: FileId) -> Option<Touched> {
        self.strictest(|_, id| id == Some(directory))
    }

    /// The place that is meant by a name in a directory, whether or not something is there, or by another name of the same file.
    pub(crate) fn named(&self, parent: FileId, name: &OsStr, object: Option<FileId>) -> Option<Touched> {
        let lower = lower(name);
        self.strictest(|known, id| {
            (known.parent_id == parent && lower == self::lower(&known.name)) || (object.is_some() && id == object)
        })
    }

    /// A place that lies in a directory, and would go where that goes.
    pub(crate) fn carried_by(&self, directory: FileId) -> Option<Touched> {
        self.strictest(|known, _| known.is_below(directory))
    }

    fn strictest(&self, is: impl Fn(&Known, Option<FileId>) -> bool) -> Option<Touched> {
        let found = self.places.0.iter().zip(&self.ids);
        let found = found.filter(|(known, id)| is(known, **id)).map(|(known, _)| known);
        found.max_by_key(|known| known.kept).map(|known| Touched {
            what: known.what,
            path: known.path.clone(),
            kept: known.kept,
        })
    }
}

impl Way {
    fn to(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut rest: VecDeque<OsString> = path.components().map(owned).collect();
        let (mut end, mut links) = (PathBuf::new(), Vec::new());
        while let Some(part) = rest.pop_front() {
            match part.as_encoded_bytes() {
                b"." => {}
                // No part of `end` is a link, so that what is above it is what its text says.
                b".." => drop(end.pop()),
                // A link may lead to the root, which takes the place of what was there.
                _ => {
                    end.push(part);
                    let Ok(target) = end.read_link() else { continue };
                    if links.len() == MAX_LINKS {
                        return Self { links, end: None };
                    }
                    links.push(end.clone());
                    end.pop();
                    target.components().rev().for_each(|part| rest.push_front(owned(part)));
                }
            }
        }
        Self { links, end: Some(end) }
    }
}

fn owned(part: Component<'_>) -> OsString {
    part.as_os_str().to_owned()
}

impl Known {
    fn of(place: OwnPlace) -> Option<Self> {
        let mut path = place.path.as_path();
        let (parent, name) = loop {
            let name = path.file_name()?.to_owned();
            path = path.parent()?;
            let parent = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            match openat(CWD, parent, DIRECTORY, Mode::empty()) {
                Ok(parent) => break (parent, name),
                Err(Errno::NOENT) => {}
                Err(_) => return None,
            }
        };
        let parent_id = FileId::of(&fstat(&parent).ok()?);
        Some(Self {
            parent,
            parent_id,
            name,
            path: place.path,
            what: place.what,
            kept: place.kept,
        })
    }

    fn key(&self) -> (FileId, &OsStr) {
        (self.parent_id, &self.name)
    }

    /// What has the name now: files are replaced by those who write them.
    fn id(&self) -> Option<FileId> {
        let stat = statat(&self.parent, &*self.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(FileId::of(&stat))
    }

    /// Whether it lies in a directory. Where nobody can say, it does.
    fn is_below(&self, directory: FileId) -> bool {
        if self.parent_id == directory {
            return true;
        }
        let mut found = false;
        let climbed = climb(&self.parent, |id| {
            found = id == directory;
            !found
        });
        found || climbed.is_err()
    }
}

#[cfg(target_os = "linux")]
pub(crate) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Shows a directory and those above it to `goes_on`, up to the root of the file system, or until that says no.
pub(crate) fn climb(from: impl AsFd, mut goes_on: impl FnMut(FileId) -> bool) -> rustix::io::Result<()> {
    let mut id = FileId::of(&fstat(&from)?);
    if !goes_on(id) {
        return Ok(());
    }
    let mut at = openat(from, "..", DIRECTORY, Mode::empty())?;
    for _ in 0..MAX_ABOVE {
        let above = FileId::of(&fstat(&at)?);
        if above == id || !goes_on(above) {
            return Ok(());
        }
        id = above;
        at = openat(&at, "..", DIRECTORY, Mode::empty())?;
    }
    Err(Errno::NAMETOOLONG)
}

/// Some file systems don't tell `A` from `a`.
fn lower(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn id(path: &Path) -> FileId {
        FileId::of(&rustix::fs::lstat(path).unwrap())
    }

    #[test]
    fn a_place_is_known_by_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["project/data", "beside", "elsewhere"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::write(path("elsewhere/real.toml"), "").unwrap();
        std::os::unix::fs::symlink("../elsewhere/real.toml", path("project/sandbar.toml")).unwrap();
        let place = |name: &str, kept| OwnPlace {
            path: path(name),
            what: "a place",
            kept,
        };
        let places = OwnPlaces::new([
            place("project/data", Kept::Hidden),
            place("project/sandbar.toml", Kept::Unchanged),
            place("project/sandbar.lock", Kept::Unchanged),
            place("nowhere/sandbar.toml", Kept::Unchanged),
        ]);
        let kept = |found: Option<Touched>| found.map(|touched| touched.kept);
        assert_eq!(kept(places.now().at(id(&path("project/data")))), Some(Kept::Hidden));
        assert_eq!(kept(places.now().at(id(&path("project")))), None);
        let check = |parent: &str, name: &str, expected: Option<Kept>| {
            let object = rustix::fs::lstat(path(parent).join(name)).ok();
            let object = object.map(|stat| FileId::of(&stat));
            assert_eq!(
                kept(places.now().named(id(&path(parent)), OsStr::new(name), object)),
                expected,
                "{parent}/{name}"
            );
        };
        check("project", "sandbar.lock", Some(Kept::Unchanged));
        check("project", "SANDBAR.Lock", Some(Kept::Unchanged));
        check("project", "data", Some(Kept::Hidden));
        check("project", "other.toml", None);
        check("beside", "sandbar.lock", None);
        check("", "nowhere", Some(Kept::Unchanged));
        check("elsewhere", "real.toml", Some(Kept::Unchanged));
        std::fs::hard_link(path("elsewhere/real.toml"), path("beside/second")).unwrap();
        check("beside", "second", Some(Kept::Unchanged));
        // Whoever writes a file anew gives it another number.
        std::fs::write(path("project/sandbar.lock"), "").unwrap();
        std::fs::hard_link(path("project/sandbar.lock"), path("beside/third")).unwrap();
        check("beside", "third", Some(Kept::Unchanged));
        for (name, holds) in [
            ("", true),
            ("project", true),
            ("elsewhere", true),
            ("beside", false),
            ("project/data", false),
        ] {
            assert_eq!(places.now().carried_by(id(&path(name))).is_some(), holds, "{name}");
            assert_eq!(places.lie_in(File::open(path(name)).unwrap()), holds, "{name}");
        }
    }

    #[test]
    fn a_way_passes_links() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        let absolute = root.join("real").display().to_string();
        for (target, name) in [
            ("real", "one"),
            ("./one/deep/", "two"),
            ("../..", "real/deep/up"),
            (&absolute, "far"),
            ("nothing/here", "later"),
            ("round", "round"),
        ] {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        let check = |path: &str, links: &[&str], end: &str| {
            let expected = Way {
                links: links.iter().map(|link| root.join(link)).collect(),
                end: Some(root.join(end)),
            };
            assert_eq!(Way::to(&root.join(path)), expected, "{path}");
        };
        check("real/deep", &[], "real/deep");
        check("one/./deep/new", &["one"], "real/deep/new");
        check("two/", &["two", "one"], "real/deep");
        check("two/../a", &["two", "one"], "real/a");
        check("one/deep/up/far/x", &["one", "real/deep/up", "far"], "real/x");
        check("later", &["later"], "nothing/here");
        let round = Way {
            links: vec![root.join("round"); MAX_LINKS],
            end: None,
        };
        assert_eq!(Way::to(&root.join("round/a")), round);
    }

    #[test]
    fn the_way_up_has_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut at = File::open(directory.path()).unwrap();
        for _ in 0..=MAX_ABOVE {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = File::from(openat(&at, "d", OFlags::RDONLY, Mode::empty()).unwrap());
        }
        assert_eq!(climb(&at, |_| true), Err(Errno::NAMETOOLONG));
    }
}
