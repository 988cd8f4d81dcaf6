//! The tool `edit`: replaces text that occurs exactly.

mod closest;
mod snippet;

use std::fs;

use sandbar_sdk::{Error, schemars::JsonSchema};
use serde::Deserialize;

use crate::fault::{Doing, fault, require_file};
use crate::preview::diff;
use crate::save::save;
use crate::text::{binary_type, plural, size};
use crate::workspace::{Place, Workspace};

/// Bigger files are not edited.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// The most that `old` and `new` may each have.
const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// Changes a part of a text file in the workspace: replaces `old`, which must occur exactly once, by `new`. Take `old` from `read`
/// without the line numbers, with enough lines around it to be unique. Shows what changed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// The file, relative to the workspace.
    path: String,
    /// The text to replace, exactly as in the file, white space included.
    old: String,
    /// The text to put in its place; empty to delete it.
    new: String,
    /// Replace every occurrence, however many.
    #[serde(default)]
    replace_all: bool,
}

pub(crate) fn edit(workspace: &Workspace, input: &Edit) -> Result<String, Error> {
    let place = workspace.place(&input.path)?;
    check_texts(input)?;
    let text = load(workspace, &place)?;
    let (old, new) = with_line_endings(&text, &input.old, &input.new);
    let matches: Vec<usize> = text.match_indices(old.as_str()).map(|(at, _)| at).collect();
    if matches.is_empty() {
        let message = format!("`old` does not occur in `{}`", place.shown());
        return Err(Error::new("no-match", message).hint(closest::hint(&text, &input.old)));
    }
    if matches.len() > 1 && !input.replace_all {
        let mut lines: Vec<String> = matches
            .iter()
            .take(5)
            .map(|at| snippet::line_number(&text, *at).to_string())
            .collect();
        if matches.len() > lines.len() {
            lines.push("…".to_owned());
        }
        let message = format!(
            "`old` occurs {} times in `{}`, once was expected: in lines {}",
            matches.len(),
            place.shown(),
            lines.join(", ")
        );
        return Err(Error::new("ambiguous-match", message)
            .hint("add lines around it to `old` until it is unique, or use `replace_all: true`"));
    }
    let changed = text.replace(&old, &new);
    if workspace.preview {
        return Ok(diff(&place, Some(&text), Some(&changed)));
    }
    save(&place, changed.as_bytes()).map_err(|error| fault(workspace, &place, Doing::Writing, &error))?;
    let count = plural(matches.len() as u64, "replacement");
    let shown = snippet::changes(&text, &matches, &old, &new);
    Ok(format!("edited `{}`: {count}\n{shown}", place.shown()))
}

fn check_texts(input: &Edit) -> Result<(), Error> {
    let bad = |message: &str, hint: &str| Err(Error::new("invalid-input", message).hint(hint));
    if input.old.is_empty() {
        return bad(
            "`old` is empty, the text to replace was expected",
            "to add text take a line beside it as `old`, and that line with the addition as `new`; to make a file use `write`",
        );
    }
    if input.old == input.new {
        return bad(
            "`old` and `new` are the same",
            "nothing needs to be changed, or `new` lacks the change",
        );
    }
    for (name, text) in [("old", &input.old), ("new", &input.new)] {
        if text.len() > MAX_TEXT_BYTES {
            let found = size(text.len() as u64);
            let message = format!(
                "`{name}` has {found}, at most {} were expected",
                size(MAX_TEXT_BYTES as u64)
            );
            return Err(Error::new("too-large", message).hint("make several smaller edits"));
        }
    }
    Ok(())
}

fn load(workspace: &Workspace, place: &Place) -> Result<String, Error> {
    let failed = |error| fault(workspace, place, Doing::Reading, &error);
    let metadata = fs::metadata(&place.path).map_err(failed)?;
    require_file(place, &metadata)?;
    if metadata.len() > MAX_FILE_BYTES {
        let message = format!(
            "`{}` has {}, at most {} can be edited",
            place.shown(),
            size(metadata.len()),
            size(MAX_FILE_BYTES)
        );
        return Err(Error::new("too-large", message).hint("use another tool for this file"));
    }
    let bytes = fs::read(&place.path).map_err(failed)?;
    let not_text = |what: &str| {
        Error::new("not-text", format!("`{}` can't be edited: it is {what}", place.shown()))
            .hint("only UTF-8 text can be edited; use another tool for this file")
    };
    if let Some(what) = binary_type(&bytes) {
        return Err(not_text(what));
    }
    String::from_utf8(bytes).map_err(|_| not_text("not UTF-8 throughout, and a change would spoil the rest"))
}

/// In a file with CRLF a model writes LF, since it never sees the difference.
fn with_line_endings(text: &str, old: &str, new: &str) -> (String, String) {
    let crlf = text.matches("\r\n").count();
    let pure = crlf > 0 && crlf == text.matches('\n').count();
    let missing = crlf > 0 && old.contains('\n') && !text.contains(old);
    if pure || missing {
        (to_crlf(old), to_crlf(new))
    } else {
        (old.to_owned(), new.to_owned())
    }
}

fn to_crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the new content, or `code: message (hint)`.
    fn check(content: &str, old: &str, new: &str, replace_all: bool, expected: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("f"), content).unwrap();
        let workspace = Workspace::new(directory.path(), Vec::new());
        let input = Edit {
            path: "f".to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
            replace_all,
        };
        let (got, report) = match edit(&workspace, &input) {
            Ok(report) => (fs::read_to_string(directory.path().join("f")).unwrap(), report),
            Err(error) => {
                assert_eq!(fs::read_to_string(directory.path().join("f")).unwrap(), content);
                let hint = error.hint.unwrap_or_default();
                (format!("{}: {} ({hint})", error.code, error.message), String::new())
            }
        };
        assert_eq!(got, expected);
        report
    }

    #[test]
    fn edits() {
        check("a\nb\nc\n", "b", "x\ny", false, "a\nx\ny\nc\n");
        check("a\nb", "b", "c", false, "a\nc");
        check("a b a\n", "a", "x", true, "x b x\n");
        check("a\nb\n", "a\n", "", false, "b\n");
        check("a\r\nb\r\nc\r\n", "a\nb", "x\ny", false, "x\r\ny\r\nc\r\n");
        check("a\r\nb\r\n", "a", "x\ny", false, "x\r\ny\r\nb\r\n");
        check("a\nb\r\nc\r\n", "b\nc", "x\ny", false, "a\nx\r\ny\r\n");
        check("a\nb\r\n", "a\n", "x\n", false, "x\nb\r\n");
        check("\u{feff}a\n", "a", "b", false, "\u{feff}b\n");
    }

    #[test]
    fn reports_show_the_change() {
        let report = check("1\n2\n3\n4\n5\n6\n", "3\n4", "x", false, "1\n2\nx\n5\n6\n");
        assert_eq!(
            report,
            "edited `f`: 1 replacement\n@@ line 3 @@\n      1\t1\n      2\t2\n-     3\t3\n-     4\t4\n+     3\tx\n      4\t5\n      5\t6\n"
        );
        let report = check("a\na\n", "a", "b", true, "b\nb\n");
        assert_eq!(
            report,
            "edited `f`: 2 replacements\n@@ line 1 @@\n-     1\ta\n-     2\ta\n+     1\tb\n+     2\tb\n"
        );
    }

    #[test]
    fn refusals() {
        check(
            "fn main() {\n    let x = 1;\n}\n",
            "let y = 1;\n",
            "",
            false,
            "no-match: `old` does not occur in `f` (the closest is line 2: `    let x = 1;`)",
        );
        check(
            "a\na\n",
            "a",
            "b",
            false,
            "ambiguous-match: `old` occurs 2 times in `f`, once was expected: in lines 1, 2 (add lines around it to `old` until it is unique, or use `replace_all: true`)",
        );
        check(
            "a",
            "",
            "b",
            false,
            "invalid-input: `old` is empty, the text to replace was expected (to add text take a line beside it as `old`, and that line with the addition as `new`; to make a file use `write`)",
        );
        check(
            "a",
            "a",
            "a",
            false,
            "invalid-input: `old` and `new` are the same (nothing needs to be changed, or `new` lacks the change)",
        );
        check(
            "a\0b",
            "a",
            "c",
            false,
            "not-text: `f` can't be edited: it is binary data (only UTF-8 text can be edited; use another tool for this file)",
        );
    }

    #[test]
    fn text_that_is_not_utf8_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("f"), b"fr\xfch").unwrap();
        let workspace = Workspace::new(directory.path(), Vec::new());
        let input = Edit {
            path: "f".to_owned(),
            old: "h".to_owned(),
            ..Edit::default()
        };
        assert_eq!(edit(&workspace, &input).unwrap_err().code, "not-text");
        assert_eq!(fs::read(directory.path().join("f")).unwrap(), b"fr\xfch");
    }
}
