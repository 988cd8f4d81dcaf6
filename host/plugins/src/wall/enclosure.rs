//! The kernel's wall around the process that runs the plugins: it reaches the places that it was told of, and starts nothing itself.
//!
//! For programs alone, before they have a second thread: a library has no business in closing in the process that it is part of. Leaves
//! out which places there are, which the configuration says.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static ENCLOSURE: OnceLock<Enclosure> = OnceLock::new();

/// What may be done at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading, writing, and asking a device to do what only it can do.
    Device,
    /// Reading, writing, making and removing; but no links, which could lead the next process that comes here to another place.
    Keep,
    /// The same, and links.
    Change,
}

/// Places with one purpose.
#[derive(Debug, Clone)]
pub struct Reach {
    /// What they are, for people.
    pub what: &'static str,
    pub access: Access,
    /// Directories, with all that is below them, and files. What isn't there is left out.
    pub paths: Vec<PathBuf>,
}

/// The wall that stands around this process.
#[derive(Debug)]
pub struct Enclosure {
    /// The version of Landlock's interface whose rules hold; 0: the kernel has none, and nothing is refused.
    pub landlock: u32,
    /// What can be reached: what was there, by its real paths.
    pub reach: Vec<Reach>,
    /// The places of `/proc` are known to the kernel as long as somebody holds them.
    #[cfg(target_os = "linux")]
    _held: Vec<landlock::PathFd>,
}

/// Puts this process behind the wall: it reaches `reach` and no other file, starts no program but compile workers, and signals nobody
/// else. There is no way back. An error means that the process is not fit for it, since it has other threads.
pub fn enclose(reach: Vec<Reach>) -> io::Result<&'static Enclosure> {
    if let Some(enclosure) = ENCLOSURE.get() {
        return Ok(enclosure);
    }
    let enclosure = build(reach)?;
    Ok(ENCLOSURE.get_or_init(|| enclosure))
}

/// The wall that stands around this process, if one was built.
pub fn enclosure() -> Option<&'static Enclosure> {
    ENCLOSURE.get()
}

impl Enclosure {
    /// Whether something can be done at a path that is there.
    pub fn allows(&self, path: &Path, access: Access) -> bool {
        if self.landlock == 0 {
            return true;
        }
        let Ok(path) = path.canonicalize() else { return false };
        let mut reach = self.reach.iter().filter(|reach| reach.access >= access);
        reach.any(|reach| reach.paths.iter().any(|root| path.starts_with(root)))
    }

    /// What this kernel can't refuse, though it should be.
    pub fn lacks(&self) -> Vec<&'static str> {
        const SINCE: [(u32, &str); 5] = [
            (1, "everything: the kernel has no Landlock, or it is switched off"),
            (3, "cutting off what is in a file (needs Linux 6.2)"),
            (5, "commands to devices (needs Linux 6.10)"),
            (6, "signals to other processes, and abstract sockets (needs Linux 6.12)"),
            (
                u32::MAX,
                "connections to sockets that are files, such as a container engine's",
            ),
        ];
        let lacking = SINCE.into_iter().filter(|(since, _)| self.landlock < *since);
        let rest = if self.landlock == 0 { 1 } else { SINCE.len() };
        lacking.map(|(_, what)| what).take(rest).collect()
    }
}

#[cfg(not(target_os = "linux"))]
fn build(_: Vec<Reach>) -> io::Result<Enclosure> {
    Ok(Enclosure {
        landlock: 0,
        reach: Vec::new(),
    })
}

#[cfg(target_os = "linux")]
fn build(mut reach: Vec<Reach>) -> io::Result<Enclosure> {
    let open = Enclosure {
        landlock: 0,
        reach: Vec::new(),
        _held: Vec::new(),
    };
    if !super::landlock::is_there() {
        return Ok(open);
    }
    // Others would stay outside, and the spawner can be forked off by a single thread alone. Without `/proc` nobody can tell.
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(io::Error::other("the process has other threads already"));
    }
    crate::spawner::start()?;
    for reach in &mut reach {
        reach.paths = existing(&reach.paths);
    }
    let held = reach.iter().flat_map(|reach| &reach.paths);
    let held = held.filter(|path| path.starts_with("/proc"));
    let held = held.filter_map(|path| landlock::PathFd::new(path).ok()).collect();
    Ok(match super::landlock::reach_only(&reach) {
        0 => open,
        landlock => Enclosure {
            landlock,
            reach,
            _held: held,
        },
    })
}

/// Real paths of what is there, each once.
#[cfg(target_os = "linux")]
fn existing(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(landlock: u32, reach: Vec<Reach>) -> Enclosure {
        Enclosure {
            landlock,
            reach,
            #[cfg(target_os = "linux")]
            _held: Vec::new(),
        }
    }

    #[test]
    fn what_a_kernel_lacks() {
        let check = |landlock: u32, expected: &[&str]| {
            let words = |what: &'static str| what.split([' ', ':']).next().unwrap_or_default();
            let lacks: Vec<&str> = around(landlock, Vec::new()).lacks().into_iter().map(words).collect();
            assert_eq!(lacks, expected, "{landlock}");
        };
        check(0, &["everything"]);
        check(1, &["cutting", "commands", "signals", "connections"]);
        check(4, &["commands", "signals", "connections"]);
        check(7, &["connections"]);
    }

    #[test]
    fn what_a_wall_allows() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for name in ["read", "change", "changed"] {
            std::fs::create_dir_all(root.join(name).join("below")).unwrap();
        }
        let reach = |access, name: &str| Reach {
            what: "a test",
            access,
            paths: vec![root.join(name)],
        };
        let wall = around(7, vec![reach(Access::Read, "read"), reach(Access::Change, "change")]);
        let check =
            |name: &str, access, expected| assert_eq!(wall.allows(&root.join(name), access), expected, "{name}");
        check("read", Access::Read, true);
        check("read/below", Access::Read, true);
        check("read/below", Access::Change, false);
        check("change/below", Access::Change, true);
        check("changed", Access::Read, false);
        check(".", Access::Read, false);
        check("nothing", Access::Read, false);
        assert!(around(0, Vec::new()).allows(&root, Access::Change));
    }
}
