//! The directory: which name stands for which file, and what of that a power loss may undo.

use std::collections::BTreeMap;

use crate::chance::Chance;

/// The number of a file; names come and go, files stay.
pub(super) type FileNumber = usize;

#[derive(Debug, Default)]
pub(super) struct Names {
    /// What each name stood for since the directory was last synced, oldest first; the last is what it stands for now.
    history: BTreeMap<String, Vec<Option<FileNumber>>>,
}

impl Names {
    pub(super) fn find(&self, name: &str) -> Option<FileNumber> {
        *self.history.get(name)?.last()?
    }

    pub(super) fn set(&mut self, name: &str, file: Option<FileNumber>) {
        self.history
            .entry(name.to_owned())
            .or_insert_with(|| vec![None])
            .push(file);
    }

    pub(super) fn sync(&mut self) {
        for states in self.history.values_mut() {
            states.drain(..states.len() - 1);
        }
        self.history.retain(|_, states| states[0].is_some());
    }

    /// Each name by itself is what it was at some time since the last sync: POSIX promises no order between names, and this
    /// relies on none, though the file systems of Linux mostly keep one.
    pub(super) fn after_power_loss(&self, chance: &mut Chance) -> Vec<(String, FileNumber)> {
        self.history
            .iter()
            .filter_map(|(name, states)| Some((name.clone(), chance.pick(states)?)))
            .collect()
    }

    /// Only what was synced.
    pub(super) fn synced(&self) -> Vec<(String, FileNumber)> {
        self.history
            .iter()
            .filter_map(|(name, states)| Some((name.clone(), states[0]?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What `name` may stand for after a power loss; `-` is nothing.
    fn check(names: &Names, name: &str, expected: &str) {
        let found: BTreeSet<String> = (0..100)
            .map(|seed| {
                let kept = names.after_power_loss(&mut Chance::new(seed));
                let file = kept.iter().find(|(found, _)| found == name);
                file.map_or_else(|| "-".to_owned(), |(_, file)| file.to_string())
            })
            .collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn what_the_directory_was_not_synced_for_may_be_undone() {
        let mut names = Names::default();
        names.set("wal", Some(0));
        check(&names, "wal", "- 0");
        names.sync();
        check(&names, "wal", "0");
        names.set("wal", None);
        assert_eq!(names.find("wal"), None);
        check(&names, "wal", "- 0");
        names.set("wal", Some(1));
        check(&names, "wal", "- 0 1");
        assert_eq!(names.synced(), [("wal".to_owned(), 0)]);
        names.sync();
        check(&names, "wal", "1");
        names.set("wal", None);
        names.sync();
        check(&names, "wal", "-");
    }
}
