//! The tool `read`.

use std::fs::{self, File};
use std::io::Read as _;

use sandbar_sdk::{Error, schemars::JsonSchema};
use serde::Deserialize;

use crate::fault::{Doing, fault, require_file};
use crate::text::{SNIFF_BYTES, binary_type, cut, numbered, plural, size};
use crate::workspace::Workspace;

const DEFAULT_LINES: u64 = 500;
const DEFAULT_PAGE_BYTES: usize = 64 * 1024;
/// The bounds of `max_read_bytes`: a page must hold a cut line, and fit what the host accepts as a tool's text.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 4096..=900 * 1024;
/// Longer lines are cut.
const MAX_LINE_BYTES: usize = 2000;
/// How far a file is read to find a page and to count its lines.
const MAX_SCAN_BYTES: u64 = 64 * 1024 * 1024;

/// Reads a text file of the workspace, with line numbers (`    12<tab>text`) that are not part of the file. Gives 500 lines and
/// 64 KiB at most unless told otherwise, and says how to get the next page.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    /// The file, relative to the workspace.
    path: String,
    /// The first line to show, from 1; 1 by default.
    #[serde(default)]
    offset: Option<u64>,
    /// How many lines to show, 500 by default.
    #[serde(default)]
    limit: Option<u64>,
}

pub(crate) fn read(workspace: &Workspace, input: &Read, max_read_bytes: Option<usize>) -> Result<String, Error> {
    let place = workspace.place(&input.path)?;
    let failed = |error| fault(workspace, &place, Doing::Reading, &error);
    let metadata = fs::metadata(&place.path).map_err(failed)?;
    require_file(&place, &metadata)?;
    let first = input.offset.unwrap_or(1).max(1);
    let page_bytes = max_read_bytes
        .unwrap_or(DEFAULT_PAGE_BYTES)
        .clamp(*PAGE_BYTES.start(), *PAGE_BYTES.end());
    let mut page = Page::new(first, input.limit.unwrap_or(DEFAULT_LINES).max(1), page_bytes);
    let mut file = File::open(&place.path).map_err(failed)?;
    let mut chunk = vec![0; 64 * 1024];
    let mut scanned = 0;
    loop {
        let length = file.read(&mut chunk).map_err(failed)?;
        let bytes = &chunk[..length];
        if scanned == 0
            && let Some(what) = binary_type(&bytes[..length.min(SNIFF_BYTES)])
        {
            let message = format!("`{}` is not text but {what}, {}", place.shown(), size(metadata.len()));
            return Err(Error::new("not-text", message).hint("only text can be read; use another tool for this file"));
        }
        scanned += length as u64;
        if length == 0 {
            page.end_of_file();
            break;
        }
        page.take(bytes);
        if scanned >= MAX_SCAN_BYTES {
            break;
        }
    }
    let whole = scanned < MAX_SCAN_BYTES;
    if page.last == 0 && !whole {
        let message = format!(
            "line {first} of `{}` lies past its first {}, which is as far as files are read",
            place.shown(),
            size(MAX_SCAN_BYTES)
        );
        return Err(Error::new("too-large", message).hint("use a smaller offset"));
    }
    if page.last == 0 && first > 1 {
        let message = format!(
            "`offset` is {first}, but `{}` has {}",
            place.shown(),
            plural(page.lines, "line")
        );
        return Err(Error::new("invalid-input", message).hint("lines are counted from 1"));
    }
    Ok(page.text(whole))
}

/// Picks the wanted lines from a stream of bytes and counts the rest.
struct Page {
    first: u64,
    limit: u64,
    max_bytes: usize,
    shown: String,
    /// The number of the last line that is shown; 0 for none.
    last: u64,
    /// Complete lines so far.
    lines: u64,
    /// The beginning of the line that is being read, and its whole length.
    line: Vec<u8>,
    line_bytes: usize,
    full: bool,
    crlf: bool,
    lossy: bool,
}

impl Page {
    fn new(first: u64, limit: u64, max_bytes: usize) -> Self {
        Self {
            first,
            limit,
            max_bytes,
            shown: String::new(),
            last: 0,
            lines: 0,
            line: Vec::new(),
            line_bytes: 0,
            full: false,
            crlf: false,
            lossy: false,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            if self.wants() {
                let room = (MAX_LINE_BYTES + 8).saturating_sub(self.line.len());
                self.line.extend_from_slice(&text[..text.len().min(room)]);
            }
            self.line_bytes += text.len();
            if ends {
                self.end_of_line();
            }
        }
    }

    fn end_of_file(&mut self) {
        if self.line_bytes > 0 {
            self.end_of_line();
        }
    }

    /// Whether the line that is being read may be shown.
    fn wants(&self) -> bool {
        let number = self.lines + 1;
        !self.full && number >= self.first && number - self.first < self.limit
    }

    fn end_of_line(&mut self) {
        if self.wants() {
            let whole = self.line_bytes == self.line.len();
            if whole && self.line.last() == Some(&b'\r') {
                self.line.pop();
                self.crlf = true;
            }
            let bytes = match self.lines {
                0 => self.line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.line),
                _ => &self.line,
            };
            // A line that was cut may end in the middle of a character, which is no fault of the file.
            let text = String::from_utf8_lossy(bytes);
            let text = if whole {
                text
            } else {
                text.trim_end_matches('\u{fffd}').to_owned().into()
            };
            self.lossy |= text.contains('\u{fffd}') && std::str::from_utf8(bytes).is_err();
            let line = if whole {
                numbered(self.lines + 1, &cut(&text, MAX_LINE_BYTES))
            } else {
                let kept = &text[..text.floor_char_boundary(MAX_LINE_BYTES)];
                numbered(
                    self.lines + 1,
                    &format!("{kept} [… {} more bytes]", self.line_bytes - kept.len()),
                )
            };
            if self.shown.len() + line.len() > self.max_bytes {
                self.full = true;
            } else {
                self.shown.push_str(&line);
                self.last = self.lines + 1;
            }
        }
        self.lines += 1;
        self.line.clear();
        self.line_bytes = 0;
    }

    fn text(self, whole: bool) -> String {
        let mut text = self.shown;
        if self.lines == 0 {
            return "[the file is empty]\n".to_owned();
        }
        let total = if whole {
            self.lines.to_string()
        } else {
            format!("more than {}", self.lines)
        };
        let mut notice = format!("[lines {}-{} of {total}", self.first, self.last);
        if self.full {
            notice.push_str(&format!("; a page has at most {}", size(self.max_bytes as u64)));
        }
        if self.last < self.lines {
            notice.push_str(&format!("; for the next page use offset {}", self.last + 1));
        }
        if self.crlf {
            notice.push_str("; lines end in CRLF");
        }
        if self.lossy {
            notice.push_str("; bytes that are not UTF-8 are shown as \u{fffd}");
        }
        text.push_str(&notice);
        text.push_str("]\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &[u8], offset: Option<u64>, limit: Option<u64>, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("f"), content).unwrap();
        let workspace = Workspace::new(directory.path(), Vec::new());
        let input = Read {
            path: "f".to_owned(),
            offset,
            limit,
        };
        let got = read(&workspace, &input, None).unwrap_or_else(|error| format!("{}: {}", error.code, error.message));
        assert_eq!(got, expected);
    }

    #[test]
    fn pages() {
        check(b"", None, None, "[the file is empty]\n");
        check(b"a\nb\n", None, None, "     1\ta\n     2\tb\n[lines 1-2 of 2]\n");
        check(b"a\nb", None, None, "     1\ta\n     2\tb\n[lines 1-2 of 2]\n");
        check(
            b"a\nb\nc\n",
            Some(2),
            Some(1),
            "     2\tb\n[lines 2-2 of 3; for the next page use offset 3]\n",
        );
        check(
            b"a\nb\n",
            Some(3),
            None,
            "invalid-input: `offset` is 3, but `f` has 2 lines",
        );
        check(b"\n\n", None, None, "     1\t\n     2\t\n[lines 1-2 of 2]\n");
    }

    #[test]
    fn encodings() {
        check(
            b"a\r\nb\r\n",
            None,
            None,
            "     1\ta\n     2\tb\n[lines 1-2 of 2; lines end in CRLF]\n",
        );
        check(b"\xef\xbb\xbfa\n", None, None, "     1\ta\n[lines 1-1 of 1]\n");
        check(
            b"fr\xfch\n",
            None,
            None,
            "     1\tfr\u{fffd}h\n[lines 1-1 of 1; bytes that are not UTF-8 are shown as \u{fffd}]\n",
        );
        check(
            b"a\0b",
            None,
            None,
            "not-text: `f` is not text but binary data, 3 bytes",
        );
        check(
            b"\x89PNG\r\n\x1a\nx",
            None,
            None,
            "not-text: `f` is not text but a PNG image, 9 bytes",
        );
    }

    #[test]
    fn long_lines_are_cut() {
        let kept = "ä".repeat(1000);
        let line = "ä".repeat(100_000);
        check(
            format!("{line}\nend\n").as_bytes(),
            None,
            None,
            &format!("     1\t{kept} [… 198000 more bytes]\n     2\tend\n[lines 1-2 of 2]\n"),
        );
        let short = "x".repeat(2003);
        check(
            short.as_bytes(),
            None,
            None,
            &format!("     1\t{} [… 3 more bytes]\n[lines 1-1 of 1]\n", "x".repeat(2000)),
        );
    }

    #[test]
    fn a_page_has_a_size() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("f"), format!("{}\n", "x".repeat(92)).repeat(1000)).unwrap();
        let workspace = Workspace::new(directory.path(), Vec::new());
        let input = Read {
            path: "f".to_owned(),
            ..Read::default()
        };
        let text = read(&workspace, &input, Some(4096)).unwrap();
        assert!(
            text.ends_with("[lines 1-40 of 1000; a page has at most 4096 bytes; for the next page use offset 41]\n")
        );
        assert!(read(&workspace, &input, Some(0)).unwrap().contains("lines 1-40"));
    }

    #[cfg(unix)]
    #[test]
    fn directories_and_strangers() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(directory.path(), Vec::new());
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        let refused = [
            ("/", "is-directory"),
            ("x", "not-found"),
            ("../x", "outside-workspace"),
            ("socket", "not-file"),
        ];
        for (path, code) in refused {
            let input = Read {
                path: path.to_owned(),
                ..Read::default()
            };
            assert_eq!(read(&workspace, &input, None).unwrap_err().code, code);
        }
    }
}
