//! Going through directories: sorted, in depth first order, without following links.

use std::ops::ControlFlow;

use sandbar_sdk::Error;

use crate::directory::{self, Kind};
use crate::fault::{Doing, fault};
use crate::workspace::{Place, Workspace};

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) mount: bool,
}

/// Which directories are entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// 1 is the directory itself.
    pub(crate) depth: u32,
    /// A repository's own data is rarely what is looked for.
    pub(crate) skip_git: bool,
}

/// Shows every entry under a directory to `visit` until that breaks, and gives the number of those that could not be read.
/// Directories below that can't be read count as one such entry.
pub(crate) fn walk(
    workspace: &Workspace,
    start: &Place,
    reach: Reach,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<u64, Error> {
    let mut unreadable = 0;
    let entries = entries(workspace, start, &mut unreadable)?;
    let mut walk = Walk {
        workspace,
        skip_git: reach.skip_git,
        unreadable,
        visit,
    };
    // Whether it was ended early is known to `visit`.
    let _ = walk.all(entries, reach.depth);
    Ok(walk.unreadable)
}

struct Walk<'a> {
    workspace: &'a Workspace,
    skip_git: bool,
    unreadable: u64,
    visit: &'a mut dyn FnMut(Entry) -> ControlFlow<()>,
}

impl Walk<'_> {
    fn all(&mut self, entries: Vec<Entry>, depth: u32) -> ControlFlow<()> {
        for entry in entries {
            let inner = (entry.kind == Kind::Directory).then(|| entry.place.clone());
            (self.visit)(entry)?;
            let Some(directory) = inner else { continue };
            if depth <= 1 || (self.skip_git && directory.file_name() == ".git") {
                continue;
            }
            match self::entries(self.workspace, &directory, &mut self.unreadable) {
                Ok(entries) => self.all(entries, depth - 1)?,
                Err(_) => self.unreadable += 1,
            }
        }
        ControlFlow::Continue(())
    }
}

/// What is in a directory, mounts included, sorted by name.
fn entries(workspace: &Workspace, directory: &Place, unreadable: &mut u64) -> Result<Vec<Entry>, Error> {
    let child = |name: &str| match directory.name.as_str() {
        "" => workspace.at(name),
        above => workspace.at(format!("{above}/{name}")),
    };
    let mounts = workspace
        .mounts_under(&directory.name)
        .filter(|mount| *mount != directory.name);
    let mut found: Vec<Entry> = mounts
        .map(|mount| Entry {
            place: workspace.at(mount),
            kind: Kind::Directory,
            mount: true,
        })
        .collect();
    match directory::read(directory) {
        Ok(content) => {
            *unreadable += content.unreadable;
            for (name, kind) in content.entries {
                let place = child(&name);
                // A mount hides what has its name.
                if !found.iter().any(|mount| mount.mount && mount.place == place) {
                    found.push(Entry {
                        place,
                        kind,
                        mount: false,
                    });
                }
            }
        }
        // A plugin that was granted mounts alone has no workspace around them.
        Err(_) if !found.is_empty() => {}
        Err(error) => return Err(fault(workspace, directory, Doing::Reading, &error)),
    }
    found.sort_by(|a, b| a.place.name.cmp(&b.place.name));
    Ok(found)
}
