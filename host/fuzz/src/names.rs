//! What is looked at before the name of a file is opened, against a file system of the simplest kind.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use sandbar_protocol::policy::{NameProblem, check_link, check_name};

/// As many links as Linux follows in one look-up.
const MOST_HOPS: u32 = 40;

/// Lines: `name` makes directories, `name>target` a link. No name that is accepted leads above where it begins, and no link that could be
/// made leads outside, whatever other links are made after it.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut tree = Tree::default();
    for line in text.split('\n') {
        match line.split_once('>') {
            Some((name, target)) => {
                held_to_the_model(name);
                held_to_the_model(target);
                if check_name(name).is_ok() && check_link(name, target).is_ok() {
                    tree.link(name, target);
                }
            }
            None => {
                held_to_the_model(line);
                if check_name(line).is_ok() {
                    tree.directories(line);
                }
            }
        }
    }
    tree.links_stay_inside();
}

/// Accepted is just what the standard library reads as a name that goes up no further than it came down.
fn held_to_the_model(name: &str) {
    let mut below = Vec::new();
    let mut outside = false;
    for part in Path::new(name).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => below.push(part),
            Component::ParentDir => outside |= below.pop().is_none(),
            Component::RootDir | Component::Prefix(_) => outside = true,
        }
    }
    match check_name(name) {
        Ok(()) => assert!(!outside && !name.contains('\0'), "{name:?} is accepted"),
        Err(NameProblem::TooLong) => assert!(name.len() > 4_096),
        Err(NameProblem::Zero) => assert!(name.contains('\0')),
        Err(NameProblem::Outside) => assert!(outside, "{name:?} is refused"),
    }
}

/// Parts of a name, from the root.
type Place = Vec<String>;

/// What there is: none for a directory, and where a link leads.
#[derive(Default)]
struct Tree {
    entries: BTreeMap<Place, Option<String>>,
}

impl Tree {
    fn directories(&mut self, name: &str) {
        let mut at = Place::new();
        for part in name.split('/') {
            if !step(&mut at, part) || self.entries.entry(at.clone()).or_default().is_some() {
                return;
            }
        }
    }

    /// Made where there is a directory that is reached without a link, as the host does.
    fn link(&mut self, name: &str, target: &str) {
        let name = name.trim_end_matches('/');
        let (directory, last) = name.rsplit_once('/').unwrap_or(("", name));
        if matches!(last, "" | "." | "..") {
            return;
        }
        let mut at = Place::new();
        for part in directory.split('/') {
            if !step(&mut at, part) || !(at.is_empty() || matches!(self.entries.get(&at), Some(None))) {
                return;
            }
        }
        at.push(last.to_owned());
        self.entries.entry(at).or_insert_with(|| Some(target.to_owned()));
    }

    fn links_stay_inside(&self) {
        for (place, target) in &self.entries {
            if let Some(target) = target {
                self.follow(place, target);
            }
        }
    }

    /// A name that isn't there is read as a directory: somebody may make it.
    fn follow(&self, link: &Place, target: &str) {
        let mut at = link.clone();
        at.pop();
        let mut hops = 0;
        let mut rest: Vec<&str> = parts_reversed(target);
        while let Some(part) = rest.pop() {
            assert!(step(&mut at, part), "{link:?} -> {target:?} leads out");
            if let Some(Some(further)) = self.entries.get(&at) {
                assert!(!further.starts_with('/'), "{at:?} -> {further:?}");
                hops += 1;
                if hops > MOST_HOPS {
                    return;
                }
                at.pop();
                rest.extend(parts_reversed(further));
            }
        }
    }
}

/// Says whether it stays inside.
fn step(at: &mut Place, part: &str) -> bool {
    match part {
        "" | "." => true,
        ".." => at.pop().is_some(),
        _ => {
            at.push(part.to_owned());
            true
        }
    }
}

fn parts_reversed(name: &str) -> Vec<&str> {
    name.split('/').rev().collect()
}
