//! Names in directories that hold places of Sandbar's own: each is gone through part by part, and what it is, is told by the numbers of what was
//! met on the way. Spelling, links, `..` and second names of a file lead to the same answer.
//!
//! What comes of it is a directory that is held, and one name in it that is no link. Whoever opens that opens what was looked at, whatever
//! becomes of the names meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use super::directory::FileId;
use super::special::Links;
use crate::own_places::{DIRECTORY, Kept, MAX_LINKS, Now, OwnPlaces, Touched, climb};

/// Parts of a name, with those of the links in it.
const MAX_PARTS: usize = 4_096;

/// What is wanted with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To know what is there.
    Look,
    /// To see what is in it.
    Read,
    /// To make, write, move or remove it.
    Change,
}

/// A directory that guests see, in which places of Sandbar's own lie.
#[derive(Debug)]
pub(super) struct Guard {
    places: Arc<OwnPlaces>,
    root: FileId,
}

/// Where a name leads.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) parent: Arc<File>,
    /// In `parent`; not a link where links were followed.
    pub(super) name: String,
    /// It, or the directory that it is in, may be read and not changed.
    pub(super) is_kept: bool,
    /// The name was written so that only a directory can have it.
    pub(super) wants_directory: bool,
}

/// Why a name isn't used.
#[derive(Debug)]
pub(super) enum Stop {
    /// It would touch what is Sandbar's own.
    Own(Touched),
    Code(ErrorCode),
}

/// Where a walk is.
struct Walk<'a> {
    now: Now<'a>,
    at: OwnedFd,
    /// The numbers of the directories from where the walk began to where it is.
    way: Vec<(FileId, Option<Touched>)>,
    /// The strictest place around the directory where the walk began.
    around: Option<Touched>,
}

impl Guard {
    /// None where a directory holds nothing of Sandbar's own.
    pub(super) fn around(root: &File, places: &Arc<OwnPlaces>) -> Option<Self> {
        if places.is_empty() || !places.lie_in(root) {
            return None;
        }
        Some(Self {
            places: places.clone(),
            root: FileId::of(&fstat(root).ok()?),
        })
    }

    /// What a listing of a directory leaves out: who looks through a project needn't be refused what isn't part of it.
    pub(super) fn unlisted(&self, directory: &File) -> Vec<OsString> {
        let found = fstat(directory).map(|stat| self.places.hidden_in(FileId::of(&stat)));
        found.unwrap_or_default()
    }

    /// Where a name leads, if it may be used so.
    pub(super) fn find(&self, base: &File, name: &str, links: Links, purpose: Purpose) -> Result<Found, Stop> {
        let wants_directory = name.ends_with('/');
        let mut rest: VecDeque<OsString> = parts(OsStr::new(name)).collect();
        if name.is_empty() {
            return Err(Stop::Code(ErrorCode::NoEntry));
        }
        let mut walk = Walk::begin(self, base)?;
        let mut followed = 0;
        let mut gone_through = 0;
        let last = loop {
            gone_through += 1;
            if gone_through > MAX_PARTS {
                return Err(Stop::Code(ErrorCode::NameTooLong));
            }
            let Some(part) = rest.pop_front() else {
                break OsString::from(".");
            };
            let is_last = rest.is_empty();
            match part.as_encoded_bytes() {
                b"." => continue,
                b".." => walk.up()?,
                _ => match walk.look(&part)? {
                    Some((_, FileType::Symlink)) if !is_last || links == Links::Followed => {
                        followed += 1;
                        if followed > MAX_LINKS {
                            return Err(Stop::Code(ErrorCode::Loop));
                        }
                        let target = readlinkat(&walk.at, &*part, Vec::new()).map_err(code)?;
                        let target = OsString::from_vec(target.into_bytes());
                        if target.as_encoded_bytes().starts_with(b"/") {
                            return Err(Stop::Code(ErrorCode::NotPermitted));
                        }
                        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                            rest.push_front(part);
                        }
                    }
                    _ if is_last => break part,
                    Some((_, FileType::Directory)) => walk.down(&part)?,
                    Some(_) => return Err(Stop::Code(ErrorCode::NotDirectory)),
                    None => return Err(Stop::Code(ErrorCode::NoEntry)),
                },
            }
        };
        walk.end(last, wants_directory, purpose)
    }
}

impl<'a> Walk<'a> {
    fn begin(guard: &'a Guard, base: &File) -> Result<Self, Stop> {
        let id = FileId::of(&fstat(base).map_err(code)?);
        let now = guard.places.now();
        let mut around: Option<Touched> = None;
        // Of what lies too deep nobody can say where it is.
        climb(base, |above| {
            if above == guard.root {
                return false;
            }
            around = stricter(around.take(), now.at(above));
            true
        })
        .map_err(code)?;
        Ok(Self {
            now,
            at: openat(base, ".", DIRECTORY, Mode::empty()).map_err(code)?,
            way: vec![(id, None)],
            around,
        })
    }

    /// What has a name in the directory where the walk is.
    fn look(&self, part: &OsStr) -> Result<Option<(FileId, FileType)>, Stop> {
        match statat(&self.at, part, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((FileId::of(&stat), FileType::from_raw_mode(stat.st_mode)))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(code(error)),
        }
    }

    fn down(&mut self, part: &OsStr) -> Result<(), Stop> {
        let below = openat(&self.at, part, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(code)?;
        let id = FileId::of(&fstat(&below).map_err(code)?);
        self.way.push((id, self.now.at(id)));
        self.at = below;
        Ok(())
    }

    /// No further than where the walk began, and back to where it came from: a directory may have been moved meanwhile.
    fn up(&mut self) -> Result<(), Stop> {
        self.way.pop();
        let Some((expected, _)) = self.way.last() else {
            return Err(Stop::Code(ErrorCode::NotPermitted));
        };
        let above = openat(&self.at, "..", DIRECTORY, Mode::empty()).map_err(code)?;
        if FileId::of(&fstat(&above).map_err(code)?) != *expected {
            return Err(Stop::Code(ErrorCode::Busy));
        }
        self.at = above;
        Ok(())
    }

    fn end(self, last: OsString, wants_directory: bool, purpose: Purpose) -> Result<Found, Stop> {
        let mut zone = self.around.clone();
        for (_, place) in &self.way {
            zone = stricter(zone, place.clone());
        }
        let (parent, _) = self.way.last().expect("a walk begins somewhere");
        let (found, own) = match last.as_encoded_bytes() {
            // The directory where the walk is, which is in the zone with its own place.
            b"." => (None, None),
            _ => {
                let found = self.look(&last)?;
                (found, self.now.named(*parent, &last, found.map(|(id, _)| id)))
            }
        };
        if wants_directory && found.is_some_and(|(_, kind)| kind != FileType::Directory) {
            return Err(Stop::Code(ErrorCode::NotDirectory));
        }
        let is_kept = zone.is_some() || own.is_some();
        let is_hidden = |touched: &Touched| touched.kept == Kept::Hidden;
        let touched = match (purpose, found) {
            // That a place is there can be seen by listing the directory that it is in.
            (Purpose::Look, _) => zone.filter(is_hidden),
            (Purpose::Read, _) => stricter(zone, own).filter(is_hidden),
            // What is in a directory goes where that goes.
            (Purpose::Change, Some((id, FileType::Directory))) => {
                stricter(stricter(zone, own), self.now.carried_by(id))
            }
            (Purpose::Change, _) => stricter(zone, own),
        };
        if let Some(touched) = touched {
            return Err(Stop::Own(touched));
        }
        Ok(Found {
            parent: Arc::new(File::from(self.at)),
            name: last
                .into_string()
                .map_err(|_| Stop::Code(ErrorCode::IllegalByteSequence))?,
            is_kept,
            wants_directory,
        })
    }
}

fn parts(name: &OsStr) -> impl Iterator<Item = OsString> + use<'_> {
    let parts = name.as_encoded_bytes().split(|byte| *byte == b'/');
    parts
        .filter(|part| !part.is_empty())
        .map(|part| OsString::from_vec(part.to_vec()))
}

fn stricter(one: Option<Touched>, other: Option<Touched>) -> Option<Touched> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.kept > one.kept { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn code(error: Errno) -> Stop {
    Stop::Code(match error {
        Errno::MFILE | Errno::NFILE => ErrorCode::InsufficientMemory,
        error => std::io::Error::from(error).into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::own_places::OwnPlace;

    /// A directory `root` with a project in it, whose data, plugins and configuration are Sandbar's.
    fn guard(root: &Path) -> Guard {
        for name in ["project/data/deep", "project/plugins", "project/work", "other"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in [
            "project/sandbar.toml",
            "project/data/sandbar.db",
            "project/work/a",
            "other/b",
        ] {
            fs::write(root.join(name), "").unwrap();
        }
        for (target, name) in [
            ("../data", "project/work/data"),
            ("../sandbar.toml", "project/work/config"),
            ("a", "project/work/to-a"),
            ("/etc", "project/work/out"),
            ("../../..", "project/work/up"),
            ("round", "project/work/round"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        fs::hard_link(root.join("project/sandbar.toml"), root.join("project/work/second")).unwrap();
        let place = |name: &str, kept| OwnPlace {
            path: root.join(name),
            what: "a place",
            kept,
        };
        let places = OwnPlaces::new([
            place("project/data", Kept::Hidden),
            place("project/plugins", Kept::Unchanged),
            place("project/sandbar.toml", Kept::Unchanged),
            place("project/sandbar.lock", Kept::Unchanged),
        ]);
        Guard::around(&File::open(root).unwrap(), &Arc::new(places)).expect("it holds some")
    }

    /// What comes of a name: where it leads, or why it isn't used.
    fn found(guard: &Guard, base: &Path, name: &str, links: Links, purpose: Purpose) -> String {
        match guard.find(&File::open(base).unwrap(), name, links, purpose) {
            Ok(found) => format!("{}{}", found.name, if found.is_kept { " kept" } else { "" }),
            Err(Stop::Own(_)) => "own".to_owned(),
            Err(Stop::Code(code)) => code.name().to_owned(),
        }
    }

    #[test]
    fn names_are_told_by_what_they_lead_to() {
        use Purpose::{Change, Look, Read};

        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let guard = guard(root);
        let check = |base: &str, name: &str, purpose, expected: &str| {
            let found = found(&guard, &root.join(base), name, Links::Followed, purpose);
            assert_eq!(found, expected, "{base}: {name} {purpose:?}");
        };
        check("", "project/work/a", Change, "a");
        check("", "project/work/../work/./a", Change, "a");
        check("", "project/work/to-a", Change, "a");
        check("", "project/work/new", Change, "new");
        check("", "other", Change, "other");
        // What is read and not changed.
        check("", "project/sandbar.toml", Read, "sandbar.toml kept");
        check("", "project/sandbar.toml", Change, "own");
        check("", "project/sandbar.lock", Change, "own");
        check("", "project/SANDBAR.LOCK", Change, "own");
        check("", "project/work/config", Change, "own");
        check("", "project/work/second", Change, "own");
        check("", "project/plugins", Read, "plugins kept");
        check("", "project/plugins/new.toml", Change, "own");
        check("project/plugins", "new.toml", Change, "own");
        check("project/plugins", ".", Read, ". kept");
        // What is not even read.
        check("", "project/data", Look, "data kept");
        check("", "project/data", Read, "own");
        check("", "project/data/sandbar.db", Look, "own");
        check("project/work", "data/sandbar.db", Read, "not-permitted");
        check("", "project/work/data/sandbar.db", Read, "own");
        check("project/data/deep", "new", Change, "own");
        // What would take a place along.
        check("", "project", Change, "own");
        check("project", "work", Change, "work");
        // What leads out, nowhere, or round and round.
        check("", "project/work/out/passwd", Read, "not-permitted");
        check("", "project/work/up", Read, "not-permitted");
        check("project", "..", Read, "not-permitted");
        check("", "project/work/round", Read, "loop");
        check("", "nothing/a", Read, "no-entry");
        check("", "other/b/c", Read, "not-directory");
        check("", "other/b/", Read, "not-directory");
        check("", "", Read, "no-entry");
    }

    /// A link is a name of its own for who removes it, and its directory is looked at all the same.
    #[test]
    fn links_are_removed_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let guard = guard(root);
        let check = |name: &str, expected: &str| {
            let found = found(&guard, root, name, Links::AsTheyAre, Purpose::Change);
            assert_eq!(found, expected, "{name}");
        };
        check("project/work/data", "data");
        check("project/work/round", "round");
        check("project/work/data/deep", "own");
    }

    /// Whoever changed a link on the way to a place, or made what one leads to, would say where the place is.
    #[test]
    fn links_on_the_way_to_a_place_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in ["project/elsewhere/data", "project/conf.d", "beside"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("project/last"), "").unwrap();
        for (target, name) in [
            ("elsewhere", "project/state"),
            ("../beside", "project/away"),
            ("./conf.d/", "project/conf"),
            ("middle", "project/sandbar.toml"),
            ("conf.d/../last", "project/middle"),
            ("later", "project/sandbar.lock"),
            ("elsewhere", "project/other"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        let place = |name: &str, kept| OwnPlace {
            path: root.join(name),
            what: "a place",
            kept,
        };
        let places = Arc::new(OwnPlaces::new([
            place("project/state/data", Kept::Hidden),
            place("project/away/token", Kept::Hidden),
            place("project/conf/sandbar.toml", Kept::Unchanged),
            place("project/sandbar.toml", Kept::Unchanged),
            place("project/sandbar.lock", Kept::Unchanged),
        ]));
        let project = root.join("project");
        let guard = Guard::around(&File::open(&project).unwrap(), &places).expect("it holds some");
        let check = |name: &str, expected: &str| {
            let found = found(&guard, &project, name, Links::AsTheyAre, Purpose::Change);
            assert_eq!(found, expected, "{name}");
        };
        check("state", "own");
        check("away", "own");
        check("conf", "own");
        check("sandbar.toml", "own");
        check("middle", "own");
        check("last", "own");
        check("sandbar.lock", "own");
        check("later", "own");
        check("elsewhere", "own");
        check("elsewhere/data", "own");
        check("conf.d/sandbar.toml", "own");
        // What is only beside a place, and a link that leads to one and is on nobody's way.
        check("state/mine", "mine");
        check("other", "other");
    }

    #[test]
    fn a_directory_without_places_needs_no_guard() {
        let directory = tempfile::tempdir().unwrap();
        let guard = guard(directory.path());
        for (name, expected) in [
            ("project", true),
            ("other", false),
            ("project/work", false),
            ("project/plugins", false),
        ] {
            let opened = File::open(directory.path().join(name)).unwrap();
            assert_eq!(Guard::around(&opened, &guard.places).is_some(), expected, "{name}");
        }
    }
}
