//! Kill points: each name is used at one place, and the list that the harness goes through has all of them.

use std::collections::BTreeMap;

/// The list, and what the points themselves are.
const LIST: &str = "host/protocol/src/kill.rs";

/// Fewer would leave out what they are for.
const FEWEST: usize = 40;

const CALL: &str = concat!("kill_", "point(\"");

#[derive(Debug, Default)]
pub(super) struct KillPoints {
    /// Names in the list, in its order.
    listed: Vec<String>,
    /// Files that use a name.
    used: BTreeMap<String, Vec<String>>,
}

impl KillPoints {
    pub(super) fn read(&mut self, path: &str, text: &str) {
        if path == LIST {
            let entries = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","));
            self.listed.extend(entries.map(str::to_owned));
        } else if path.starts_with("host/") && path.ends_with(".rs") {
            for (at, _) in text.match_indices(CALL) {
                let name = text[at + CALL.len()..].split('"').next().unwrap_or_default();
                self.used.entry(name.to_owned()).or_default().push(path.to_owned());
            }
        }
    }

    pub(super) fn check(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, files) in &self.used {
            if files.len() > 1 {
                complaints.push(format!("{}: the kill point `{name}` is in {} too", files[0], files[1]));
            }
            if !self.listed.contains(name) {
                complaints.push(format!("{}: the kill point `{name}` is not in {LIST}", files[0]));
            }
        }
        let unused = self.listed.iter().filter(|name| !self.used.contains_key(*name));
        complaints.extend(unused.map(|name| format!("{LIST}: the kill point `{name}` is nowhere")));
        if self.used.len() < FEWEST {
            complaints.push(format!(
                "{LIST}: there are {} kill points, fewer than {FEWEST}",
                self.used.len()
            ));
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Complaints about a list and calls in files, without that of their number.
    fn check(listed: &[&str], used: &[(&str, &str)], expected: &[&str]) {
        let mut points = KillPoints::default();
        points.read(
            LIST,
            &listed
                .iter()
                .map(|name| format!("    \"{name}\",\n"))
                .collect::<String>(),
        );
        for (path, name) in used {
            points.read(path, &format!("{CALL}{name}\");\n"));
        }
        let mut found = points.check();
        found.pop();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (complaint, expected) in found.iter().zip(expected) {
            assert!(
                complaint.contains(expected),
                "`{complaint}` does not contain `{expected}`"
            );
        }
    }

    #[test]
    fn points_are_listed_and_used_once() {
        check(&["a.b", "a.c"], &[("host/x.rs", "a.b"), ("host/y.rs", "a.c")], &[]);
        check(
            &["a.b"],
            &[("host/x.rs", "a.b"), ("host/y.rs", "a.b")],
            &["`a.b` is in host/y.rs too"],
        );
        check(&[], &[("host/x.rs", "a.b")], &["`a.b` is not in"]);
        check(&["a.b"], &[("docs/x.rs", "a.b")], &["`a.b` is nowhere"]);
    }

    #[test]
    fn a_handful_is_not_enough() {
        let mut points = KillPoints::default();
        points.read(LIST, "    \"a.b\",\n");
        points.read("host/x.rs", &format!("{CALL}a.b\");"));
        assert_eq!(points.check().len(), 1);
    }
}
