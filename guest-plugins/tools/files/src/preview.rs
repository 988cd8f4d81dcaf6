//! What a change would change, for the person who is asked to allow it.

use similar::TextDiff;

use crate::workspace::Place;

/// The longest preview, in lines: a person reads it before answering.
const MAX_LINES: usize = 200;

/// A unified diff. `None` for a file that isn't there before or afterwards.
pub(crate) fn diff(place: &Place, before: Option<&str>, after: Option<&str>) -> String {
    let side = |text: Option<&str>| {
        if text.is_some() {
            place.shown()
        } else {
            "/dev/null".to_owned()
        }
    };
    let (old, new) = (before.unwrap_or_default(), after.unwrap_or_default());
    let text = TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(&side(before), &side(after))
        .to_string();
    let lines = text.lines().count();
    if lines <= MAX_LINES {
        return text;
    }
    let kept: Vec<&str> = text.lines().take(MAX_LINES).collect();
    format!("{}\n… {} more lines\n", kept.join("\n"), lines - MAX_LINES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn previews() {
        let place = Workspace::new("/", Vec::new()).at("a.md");
        let check = |before, after, expected: &str| assert_eq!(diff(&place, before, after), expected);
        check(None, Some("one\n"), "--- /dev/null\n+++ a.md\n@@ -0,0 +1 @@\n+one\n");
        check(
            Some("one\ntwo\n"),
            Some("one\n2\n"),
            "--- a.md\n+++ a.md\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n",
        );
        check(Some("one\n"), None, "--- a.md\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n");
        let long = "line\n".repeat(1000);
        assert!(diff(&place, None, Some(&long)).ends_with("… 803 more lines\n"));
    }
}
