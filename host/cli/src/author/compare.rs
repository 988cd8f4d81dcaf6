//! What was expected beside what came: a difference as lines.

/// The most lines that a difference shows.
const MOST_LINES: usize = 40;

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Mismatch {
    /// A key of `expect`, or the name of a file.
    pub(crate) what: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Mismatch {
    pub(super) fn new(what: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// `- ` before what was expected, `+ ` before what came, two blanks before what both have at the start and the end.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (expected, found) = (pieces(&self.expected), pieces(&self.found));
        let same = |a: &[&str], b: &[&str]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let before = same(&expected, &found);
        let reversed = |lines: &[&'_ str]| {
            lines[before..]
                .iter()
                .rev()
                .copied()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (tail, other) = (reversed(&expected), reversed(&found));
        let after = tail.iter().zip(&other).take_while(|(a, b)| a == b).count();
        let mut lines = Vec::new();
        let mut push = |sign: &str, part: &[&str]| lines.extend(part.iter().map(|line| format!("{sign} {line}")));
        push(" ", &expected[before.saturating_sub(2)..before]);
        push("-", &expected[before..expected.len() - after]);
        push("+", &found[before..found.len() - after]);
        push(
            " ",
            &expected[expected.len() - after..(expected.len() - after + 2).min(expected.len())],
        );
        if lines.len() > MOST_LINES {
            let left = lines.len() - MOST_LINES;
            lines.truncate(MOST_LINES);
            lines.push(format!("  … and {left} more lines"));
        }
        lines
    }
}

/// Lines, with the one that a final line break would begin: its absence is a difference that must be seen.
fn pieces(text: &str) -> Vec<&str> {
    text.split('\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        let check = |expected: &str, found: &str, lines: &[&str]| {
            assert_eq!(
                Mismatch::new("text", expected, found).lines(),
                lines,
                "{expected:?} {found:?}"
            );
        };
        check("a", "b", &["- a", "+ b"]);
        check(
            "1\n2\n3\na\n4\n5\n6",
            "1\n2\n3\nb\nc\n4\n5\n6",
            &["  2", "  3", "- a", "+ b", "+ c", "  4", "  5"],
        );
        check("a\n", "a", &["  a", "- "]);
        check("a\na", "a", &["  a", "- a"]);
        check("", "a", &["- ", "+ a"]);
        let long = "x\n".repeat(100);
        assert_eq!(Mismatch::new("text", "", long).lines().len(), MOST_LINES + 1);
    }
}
