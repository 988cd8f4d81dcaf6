//! Plugins and `sandbar.lock`: what is new is recorded, what is not what was approved waits.
//!
//! Bundled plugins are not in the file: they are a part of the program, and change with it. A file that takes the name of one is not
//! trusted at first sight, because the grants for that name were written for the bundled one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbar_protocol::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::cache::{Cache, facts_of};
use crate::difference::{Difference, Lines, Waiting};
use crate::digest::DigestMemo;
use crate::discover::{Bundled, Origin, discover};
use crate::lock::{FIRST_SIGHT, LockFile};
use crate::locked::{Locked, requests};
use crate::plugin::{Plugin, Status};
use crate::plugins::Plugins;

/// A file, compared with `sandbar.lock` without running anything of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub name: String,
    #[serde(flatten)]
    pub state: VerifiedState,
    /// The file's digest now; none where there is no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Whether a file is what was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum VerifiedState {
    Approved,
    /// The component or what its manifest requests is another.
    Changed {
        why: String,
    },
    /// There is no entry.
    New,
    /// There is an entry, and no file.
    Missing,
    Unreadable {
        why: String,
    },
}

/// Compares the files in the plugin directories with the lock. Every file is read anew; nothing is compiled, nothing runs.
///
/// What an entry says of a component's kind and imports is compared where the component was compiled once, in this cache.
pub fn verify(directories: &[PathBuf], bundled: &[Bundled], lock: &LockFile, cache: &Path) -> Result<Vec<Verified>> {
    let mut entries = lock.read()?.plugins;
    let mut found: BTreeMap<String, Verified> = BTreeMap::new();
    for candidate in discover(directories, &[], &mut DigestMemo::default())? {
        // A later file of the same name is not used.
        if found.keys().any(|name| name.eq_ignore_ascii_case(&candidate.name)) {
            continue;
        }
        let entry = entries.remove(&candidate.name);
        let is_bundled = bundled.iter().any(|bundled| bundled.name == candidate.name);
        let (state, digest) = match candidate.content {
            Err(error) => (VerifiedState::Unreadable { why: error.message }, None),
            Ok(content) => {
                let asked = requests(content.manifest.as_ref());
                let state = match entry {
                    None if is_bundled => VerifiedState::Changed {
                        why: "it takes the place of a bundled plugin".to_owned(),
                    },
                    None => VerifiedState::New,
                    Some(entry) if entry.digest != content.digest => VerifiedState::Changed {
                        why: "the component is another".to_owned(),
                    },
                    Some(entry) if entry.requests != asked => VerifiedState::Changed {
                        why: "its manifest requests something else".to_owned(),
                    },
                    Some(entry) => match edited(&entry, cache) {
                        Some(why) => VerifiedState::Changed { why: why.to_owned() },
                        None => VerifiedState::Approved,
                    },
                };
                (state, Some(content.digest))
            }
        };
        let name = candidate.name.clone();
        found.insert(candidate.name, Verified { name, state, digest });
    }
    let missing = entries.into_keys().map(|name| Verified {
        name,
        state: VerifiedState::Missing,
        digest: None,
    });
    Ok(found.into_values().chain(missing).collect())
}

/// What an entry says otherwise than the component that has its digest: somebody has written it by hand.
fn edited(entry: &Locked, cache: &Path) -> Option<&'static str> {
    let facts = facts_of(cache, &entry.digest)?;
    let now = Locked {
        kind: facts.kind,
        imports: facts.shape.imports,
        ..entry.clone()
    };
    let difference = Difference::between(entry, &now, &[], &[]);
    match (difference.kind, difference.imports == Lines::default()) {
        (Some(_), _) => Some("the entry in the lock names another kind than the component is of"),
        (None, false) => Some("the entry in the lock names other imports than the component has"),
        (None, true) => None,
    }
}

impl Plugins {
    /// Accepts a plugin as it is now; it can be used by whoever opens the plugins from then on. None: there was nothing to accept. An
    /// entry whose file is gone is removed, so that its name is free.
    pub fn approve(&self, name: &str, by: &str) -> Result<Option<Difference>> {
        let lock = self.lock.as_ref().ok_or_else(no_lock)?;
        match self.get(name) {
            Some(plugin) => {
                let Some(waiting) = &plugin.waiting else {
                    return Ok(None);
                };
                let entry = waiting.now.clone().approved(by, lock.now());
                lock.change(|lock| drop(lock.plugins.insert(name.to_owned(), entry)))?;
                Ok(Some(waiting.difference.clone()))
            }
            None => {
                let is_there = lock.read()?.plugins.contains_key(name);
                if !is_there {
                    let message = format!("there is no plugin `{}`", name.escape_debug());
                    return Err(Error::new(ErrorKind::NotFound, "no-plugin", message)
                        .with_hint("`sandbar plugins list` shows which there are"));
                }
                lock.change(|lock| drop(lock.plugins.remove(name)))?;
                Ok(Some(Difference::default()))
            }
        }
    }

    /// Records a component that a person has built just now, in place of what was approved under its name.
    pub fn record_built(&self, name: &str, lock: &LockFile, by: &str) -> Result<()> {
        let Some(now) = self.get(name).and_then(|plugin| locked(plugin)) else {
            return Ok(());
        };
        let entry = now.approved(by, lock.now());
        lock.change(|lock| drop(lock.plugins.insert(name.to_owned(), entry)))
    }

    /// Names of the plugins that were seen for the first time, and recorded.
    pub fn recorded(&self) -> &[String] {
        &self.recorded.names
    }

    /// Why plugins that were seen for the first time could not be recorded; none if they were. That stops nobody, and is told nowhere else:
    /// whoever opens the plugins has to look here, since a change of such a plugin will not be noticed.
    pub fn unrecorded(&self) -> Option<&Error> {
        self.recorded.failure.as_ref()
    }
}

/// What became of the plugins that the lock had nothing of.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    names: Vec<String>,
    failure: Option<Error>,
}

/// Compares what was found with the lock; what is new is recorded.
pub(crate) fn compare(
    plugins: &mut BTreeMap<String, Plugin>,
    bundled: &[Bundled],
    lock: &LockFile,
    cache: &Cache,
) -> Result<Recorded> {
    let entries = lock.read()?.plugins;
    let (mut new, mut incomplete) = (BTreeMap::new(), BTreeMap::new());
    for plugin in plugins.values_mut() {
        let (Status::Ready(ready), Some(now)) = (&plugin.status, locked(plugin)) else {
            continue;
        };
        let name = plugin.name.to_string();
        let difference = match entries.get(&name) {
            Some(before) if before.is_same(&now) => {
                if before.lacks_traits() {
                    incomplete.insert(name, now);
                }
                continue;
            }
            Some(before) => {
                let old_tools = cache.tools(&before.digest);
                Difference::between(before, &now, &old_tools, &ready.tools)
            }
            None if bundled.iter().any(|bundled| *bundled.name == *name) => {
                Difference::in_place_of_bundled(&now, &ready.tools)
            }
            None => {
                new.insert(name, now.approved(FIRST_SIGHT, lock.now()));
                continue;
            }
        };
        plugin.status = Status::Broken(difference.error(&name));
        plugin.waiting = Some(Box::new(Waiting { now, difference }));
    }
    if new.is_empty() && incomplete.is_empty() {
        return Ok(Recorded::default());
    }
    record(lock, new, incomplete)
}

/// Adds what is new, and to entries of before what was not recorded then.
fn record(lock: &LockFile, new: BTreeMap<String, Locked>, incomplete: BTreeMap<String, Locked>) -> Result<Recorded> {
    let names: Vec<String> = new.keys().cloned().collect();
    let recorded = lock.change(|lock| {
        for (name, entry) in new {
            // Another process may have been first.
            lock.plugins.entry(name).or_insert(entry);
        }
        for (name, now) in incomplete {
            if let Some(entry) = lock.plugins.get_mut(&name)
                && entry.is_same(&now)
            {
                entry.traits = now.traits;
            }
        }
    });
    match recorded {
        Ok(()) => Ok(Recorded { names, failure: None }),
        // What an entry lacks can be added another time.
        Err(error) if error.kind == ErrorKind::Storage && names.is_empty() => {
            tracing::debug!("entries of plugins could not be completed: {error}");
            Ok(Recorded::default())
        }
        Err(error) if error.kind == ErrorKind::Storage => {
            let names = names.join("`, `");
            let failure = error.told(|message| {
                format!("the new plugins `{names}` could not be recorded, so that a change of them will not be noticed: {message}")
            });
            Ok(Recorded {
                names: Vec::new(),
                failure: Some(failure),
            })
        }
        Err(error) => Err(error),
    }
}

/// What there is to approve of a plugin; none of one that is bundled or can't be used anyway.
fn locked(plugin: &Plugin) -> Option<Locked> {
    match (&plugin.origin, &plugin.status) {
        (Origin::File(_), Status::Ready(ready)) => Some(Locked::of(
            &plugin.digest,
            ready.kind,
            &ready.imports,
            plugin.manifest.as_ref(),
            &ready.tools,
        )),
        _ => None,
    }
}

fn no_lock() -> Error {
    Error::new(
        ErrorKind::Config,
        "no-lock",
        "no file is configured that says what was approved",
    )
    .with_hint("a program that embeds Sandbar names one as `Config::lock_file`")
}
