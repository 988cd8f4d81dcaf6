//! The tool `search`.

use std::fs;
use std::ops::ControlFlow;

use regex::{Regex, RegexBuilder};
use sandbar_sdk::{Error, schemars::JsonSchema};
use serde::Deserialize;

use crate::directory::Kind;
use crate::fault::{Doing, fault};
use crate::glob::Glob;
use crate::text::{binary_type, plural, shown, size};
use crate::walk::{Entry, Reach, walk};
use crate::workspace::{Place, Workspace};

const DEFAULT_LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 1000;
const MAX_CONTEXT: usize = 10;
const MAX_PATTERN_BYTES: usize = 1000;
/// Bounds the memory and time that compiling a pattern takes.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;
/// Bigger files are skipped.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// After as much text, or as many entries, a search ends early and says so.
const MAX_TOTAL_BYTES: u64 = 64 * 1024 * 1024;
const MAX_ENTRIES: u64 = 50_000;
const MAX_DEPTH: u32 = 64;
/// Longer lines are shown around the match.
const MAX_LINE_BYTES: usize = 300;
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// Searches the lines of the text files in the workspace for a regular expression and gives `name:line: text` for each match.
/// Skips `.git`, files that are not text, and files above 4 MiB; does not follow links.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// A regular expression, without look-around and back-references; matched against each line.
    pattern: String,
    /// The file or directory to search, relative to the workspace; the workspace itself by default.
    #[serde(default)]
    path: Option<String>,
    /// Search only files with such names: `*.md`, `src/**/*.rs`.
    #[serde(default)]
    glob: Option<String>,
    /// Take upper and lower case for the same.
    #[serde(default)]
    ignore_case: bool,
    /// How many lines to show before and after each match, at most 10.
    #[serde(default)]
    context: Option<usize>,
    /// How many matches to show, 100 by default, at most 1000.
    #[serde(default)]
    limit: Option<u64>,
}

pub(crate) fn search(workspace: &Workspace, input: &Search) -> Result<String, Error> {
    let place = workspace.place(input.path.as_deref().unwrap_or("."))?;
    let mut hits = Hits::new(compile(&input.pattern, input.ignore_case)?);
    hits.context = input.context.unwrap_or(0).min(MAX_CONTEXT);
    hits.limit = input.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let glob = input.glob.as_deref().map(Glob::parse).transpose()?;
    let metadata = fs::metadata(&place.path);
    if metadata.as_ref().is_ok_and(fs::Metadata::is_file) {
        let content = fs::read(&place.path).map_err(|error| fault(workspace, &place, Doing::Reading, &error));
        hits.search_content(&place, &content?);
        return Ok(hits.text(&input.pattern));
    }
    if let Err(error) = metadata
        && !place.name.is_empty()
    {
        return Err(fault(workspace, &place, Doing::Reading, &error));
    }
    let reach = Reach {
        depth: MAX_DEPTH,
        skip_git: true,
    };
    let unreadable = walk(workspace, &place, reach, &mut |entry| {
        // A glob may be meant from the workspace or from the directory that is searched.
        let below = entry
            .place
            .name
            .strip_prefix(&place.name)
            .unwrap_or_default()
            .trim_start_matches('/');
        let wanted = glob
            .as_ref()
            .is_none_or(|glob| glob.matches(&entry.place.name) || glob.matches(below));
        hits.visit(&entry, wanted)
    })?;
    hits.unreadable += unreadable;
    Ok(hits.text(&input.pattern))
}

fn compile(pattern: &str, ignore_case: bool) -> Result<Regex, Error> {
    let bad = |why: &str| {
        Error::new(
            "bad-pattern",
            format!("`pattern` is no regular expression that can be used: {why}"),
        )
    };
    if pattern.is_empty() {
        return Err(bad("it is empty").hint("name what to look for; `list` shows names of files"));
    }
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(bad(&format!(
            "it has {} bytes, at most {MAX_PATTERN_BYTES} were expected",
            pattern.len()
        ))
        .hint("search for a shorter part"));
    }
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => bad("it grows too big when compiled")
                .hint("use smaller numbers in `{n,m}`, or fewer classes like `\\w`"),
            error => {
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default();
                bad(why.strip_prefix("error: ").unwrap_or(why)).hint(
                    "to find a character such as ( [ { . * + ? literally write \\ before it; look-around and \
                     back-references are not supported",
                )
            }
        })
}

/// What has been found so far.
#[derive(Debug)]
struct Hits {
    regex: Regex,
    context: usize,
    limit: u64,
    out: String,
    /// Matching lines that are shown, and all.
    shown: u64,
    matches: u64,
    files: u64,
    bytes: u64,
    entries: u64,
    binary: u64,
    big: Vec<String>,
    unreadable: u64,
    ended_early: bool,
}

impl Hits {
    fn new(regex: Regex) -> Self {
        Self {
            regex,
            context: 0,
            limit: DEFAULT_LIMIT,
            out: String::new(),
            shown: 0,
            matches: 0,
            files: 0,
            bytes: 0,
            entries: 0,
            binary: 0,
            big: Vec::new(),
            unreadable: 0,
            ended_early: false,
        }
    }

    fn visit(&mut self, entry: &Entry, wanted: bool) -> ControlFlow<()> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES || self.bytes > MAX_TOTAL_BYTES {
            self.ended_early = true;
            return ControlFlow::Break(());
        }
        if !wanted || entry.kind != Kind::File {
            return ControlFlow::Continue(());
        }
        let bytes = fs::symlink_metadata(&entry.place.path).map_or(0, |metadata| metadata.len());
        if bytes > MAX_FILE_BYTES {
            self.big.push(entry.place.shown());
        } else if let Ok(content) = fs::read(&entry.place.path) {
            self.search_content(&entry.place, &content);
        } else {
            self.unreadable += 1;
        }
        ControlFlow::Continue(())
    }

    fn search_content(&mut self, place: &Place, content: &[u8]) {
        if content.len() as u64 > MAX_FILE_BYTES {
            self.big.push(place.shown());
            return;
        }
        if binary_type(content).is_some() {
            self.binary += 1;
            return;
        }
        self.files += 1;
        self.bytes += content.len() as u64;
        let text = String::from_utf8_lossy(content);
        let lines: Vec<&str> = text.lines().collect();
        let finds = |(index, line): (usize, &&str)| self.regex.find(line).map(|found| (index, found.start()));
        let found: Vec<(usize, usize)> = lines.iter().enumerate().filter_map(finds).collect();
        self.matches += found.len() as u64;
        let room = if self.out.len() < MAX_OUTPUT_BYTES {
            self.limit - self.shown
        } else {
            0
        };
        let kept = found.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.show(place, &lines, &found[..kept]);
    }

    /// Shows matches, each as index of its line and byte where it starts, with the lines around them.
    fn show(&mut self, place: &Place, lines: &[&str], found: &[(usize, usize)]) {
        // The index of the next line that has not been shown.
        let mut next = 0;
        for (nth, &(index, start)) in found.iter().enumerate() {
            if self.out.len() > MAX_OUTPUT_BYTES {
                break;
            }
            self.shown += 1;
            let from = index.saturating_sub(self.context).max(next);
            if self.context > 0 && !self.out.is_empty() && (nth == 0 || from > next) {
                self.out.push_str("--\n");
            }
            // What follows goes up to the next match, which shows itself.
            let following = found.get(nth + 1).map_or(lines.len(), |&(index, _)| index);
            let until = following.min(index + 1 + self.context);
            for (number, line) in lines.iter().enumerate().take(until).skip(from) {
                if number == index {
                    self.push(place, number, ':', &window(line, start));
                } else {
                    self.push(place, number, '-', &window(line, 0));
                }
            }
            next = until;
        }
    }

    fn push(&mut self, place: &Place, index: usize, mark: char, line: &str) {
        self.out
            .push_str(&format!("{}{mark}{}{mark} {line}\n", place.shown(), index + 1));
    }

    fn text(self, pattern: &str) -> String {
        let mut text = self.out;
        let mut notice = match self.matches {
            0 => format!("no line matches `{}` in {}", shown(pattern), plural(self.files, "file")),
            matches if matches > self.shown => format!(
                "{} of {} shown; narrow `pattern`, `path` or `glob`, or raise `limit`",
                self.shown,
                plural(matches, "match")
            ),
            matches => plural(matches, "match"),
        };
        if self.binary > 0 {
            notice.push_str(&format!("; skipped {} without text", plural(self.binary, "file")));
        }
        if let Some(first) = self.big.first() {
            let count = plural(self.big.len() as u64, "file");
            notice.push_str(&format!(
                "; skipped {count} above {}, such as `{first}`",
                size(MAX_FILE_BYTES)
            ));
        }
        if self.unreadable > 0 {
            notice.push_str(&format!("; {} could not be read", plural(self.unreadable, "entry")));
        }
        if self.ended_early {
            notice.push_str(&format!(
                "; ended early after {} and {}: search a smaller `path`",
                plural(self.entries - 1, "entry"),
                size(self.bytes)
            ));
        }
        text.push_str(&format!("[{notice}]\n"));
        text
    }
}

/// A line, or the part of a long one around a match that starts at `at`.
fn window(line: &str, at: usize) -> String {
    if line.len() <= MAX_LINE_BYTES {
        return line.to_owned();
    }
    let start = line.floor_char_boundary(at.saturating_sub(MAX_LINE_BYTES / 3));
    let end = line.floor_char_boundary(start + MAX_LINE_BYTES);
    let before = if start > 0 { "… " } else { "" };
    let after = if end < line.len() { " …" } else { "" };
    format!("{before}{}{after}", &line[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in ["docs", ".git", "src"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("a.md"), "one\ntwo\nthree\nfour\nfive\n").unwrap();
        fs::write(root.join("docs/b.md"), "Two birds\r\nand a tree\r\n").unwrap();
        fs::write(root.join("src/lib.rs"), "// two\n").unwrap();
        fs::write(root.join(".git/config"), "two\n").unwrap();
        fs::write(root.join("bin"), "two\0").unwrap();
        fs::write(root.join("big.log"), vec![b'x'; 5 * 1024 * 1024]).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("docs", root.join("link")).unwrap();
        directory
    }

    fn check(input: Search, expected: &str) {
        let directory = tree();
        let workspace = Workspace::new(directory.path(), Vec::new());
        let got = search(&workspace, &input).unwrap_or_else(|error| format!("{}: {}", error.code, error.message));
        assert_eq!(got, expected);
    }

    fn pattern(pattern: &str) -> Search {
        Search {
            pattern: pattern.to_owned(),
            ..Search::default()
        }
    }

    const SKIPPED: &str = "; skipped 1 file without text; skipped 1 file above 4.0 MiB, such as `big.log`";

    #[test]
    fn searches() {
        check(
            pattern("two"),
            &format!("a.md:2: two\nsrc/lib.rs:1: // two\n[2 matches{SKIPPED}]\n"),
        );
        let insensitive = Search {
            ignore_case: true,
            glob: Some("*.md".to_owned()),
            ..pattern("^two")
        };
        check(insensitive, "a.md:2: two\ndocs/b.md:1: Two birds\n[2 matches]\n");
        let limited = Search {
            limit: Some(1),
            path: Some("a.md".to_owned()),
            ..pattern("e$")
        };
        check(
            limited,
            "a.md:1: one\n[1 of 3 matches shown; narrow `pattern`, `path` or `glob`, or raise `limit`]\n",
        );
        let below = Search {
            path: Some("src".to_owned()),
            glob: Some("*.rs".to_owned()),
            ..pattern("zebra")
        };
        check(below, "[no line matches `zebra` in 1 file]\n");
        let hidden = Search {
            path: Some(".git".to_owned()),
            ..pattern("two")
        };
        check(hidden, ".git/config:1: two\n[1 match]\n");
    }

    #[test]
    fn context() {
        let around = |text: &str, lines: usize| Search {
            path: Some("a.md".to_owned()),
            context: Some(lines),
            ..pattern(text)
        };
        check(around("two", 1), "a.md-1- one\na.md:2: two\na.md-3- three\n[1 match]\n");
        check(
            around("two|three", 1),
            "a.md-1- one\na.md:2: two\na.md:3: three\na.md-4- four\n[2 matches]\n",
        );
        check(
            around("one|five", 1),
            "a.md:1: one\na.md-2- two\n--\na.md-4- four\na.md:5: five\n[2 matches]\n",
        );
        check(
            around("one|four", 1),
            "a.md:1: one\na.md-2- two\na.md-3- three\na.md:4: four\na.md-5- five\n[2 matches]\n",
        );
    }

    #[test]
    fn refusals() {
        let start = "bad-pattern: `pattern` is no regular expression that can be used: ";
        check(pattern("("), &format!("{start}unclosed group"));
        check(
            pattern("(?=x)"),
            &format!("{start}look-around, including look-ahead and look-behind, is not supported"),
        );
        check(pattern(""), &format!("{start}it is empty"));
        check(
            pattern(r"(\w{100}){100}"),
            &format!("{start}it grows too big when compiled"),
        );
        let nowhere = Search {
            path: Some("dox".to_owned()),
            ..pattern("x")
        };
        check(nowhere, "not-found: there is no `dox` in the workspace");
    }

    #[test]
    fn long_lines_are_shown_around_the_match() {
        let line = format!("{}needle{}", "ä".repeat(1000), "b".repeat(1000));
        let shown = window(&line, 2000);
        assert!(shown.starts_with("… ä") && shown.contains("needle") && shown.ends_with("b …"));
        assert!(shown.len() < 320);
    }
}
