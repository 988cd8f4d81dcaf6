//! Rules for the text of files. The words that are looked for are written in pieces here, so that this file passes.

const MAX_LINES: usize = 500;

/// Written by a program, so nobody has to read them from top to bottom.
const GENERATED: [&str; 0] = [];

/// Words that must not be in the host's sources or in tests, and why.
const UNWANTED: [(&str, &str); 4] = [
    (
        concat!("#[", "ignore"),
        "a test that isn't run says nothing: mend it or remove it",
    ),
    (concat!("to", "do!("), "finish it, or answer `unsupported`"),
    (concat!("unimple", "mented!("), "finish it, or answer `unsupported`"),
    (concat!("thread::", "sleep"), "wait for what happens, not for time"),
];

/// Paths of a machine on which somebody worked.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// What is wrong with a file, each as `path:line: complaint`.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut complaints = machine_paths(path, text);
    if !path.ends_with(".rs") {
        return complaints;
    }
    // Guests that loop and sleep are what the tests are about.
    let host = path.starts_with("host/");
    let tests = path.starts_with("tests/") && !path.starts_with("tests/guests/");
    if host && !text.starts_with("//!") {
        complaints.push(format!(
            "{path}:1: the first line must be `//!` and say what the file is"
        ));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES && !GENERATED.contains(&path) {
        complaints.push(format!("{path}:{lines}: {lines} lines; a file has at most {MAX_LINES}"));
    }
    if host || tests {
        for (word, cure) in UNWANTED {
            complaints.extend(lines_with(text, word).map(|line| format!("{path}:{line}: `{word}`: {cure}")));
        }
    }
    complaints.extend(bare_allows(path, text));
    complaints
}

fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for machine_path in MACHINE_PATHS {
            // In the middle of a path it is somebody's folder of that name.
            let found = line.match_indices(machine_path).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || "._-~}".contains(c))
            });
            if found {
                complaints.push(format!(
                    "{path}:{}: `{machine_path}` is a path of one machine",
                    index + 1
                ));
            }
        }
    }
    complaints
}

/// An `allow` must say why; mostly an `expect` is better, because it complains when it is no longer needed.
fn bare_allows(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for opening in [concat!("#[", "allow("), concat!("#![", "allow(")] {
        for (at, _) in text.match_indices(opening) {
            let attribute = text[at..].split(")]").next().unwrap_or_default();
            if !attribute.contains("reason") {
                let line = text[..at].lines().count().max(1) + usize::from(text[..at].ends_with('\n'));
                complaints.push(format!("{path}:{line}: `{opening}` without a reason"));
            }
        }
    }
    complaints
}

fn lines_with<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.lines()
        .enumerate()
        .filter(move |(_, line)| line.contains(word))
        .map(|(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the complaints, or where each is said, with what was expected.
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let found = check(path, text);
        assert_eq!(found.len(), expected.len(), "{path}: {found:?}");
        for (complaint, expected) in found.iter().zip(expected) {
            assert!(
                complaint.contains(expected),
                "`{complaint}` does not contain `{expected}`"
            );
        }
    }

    #[test]
    fn host_files_say_what_they_are() {
        check_file("host/a/src/lib.rs", "//! What it is.\nmod b;\n", &[]);
        check_file(
            "host/a/src/lib.rs",
            "mod b;\n",
            &["host/a/src/lib.rs:1: the first line"],
        );
        check_file("host/a/build.rs", "// No documentation.\n", &["the first line"]);
        check_file("tests/lib.rs", "mod b;\n", &[]);
        check_file("host/a/Cargo.toml", "[package]\n", &[]);
    }

    #[test]
    fn files_are_short() {
        check_file("host/a/src/lib.rs", &"//! x\n".repeat(500), &[]);
        check_file("host/a/src/lib.rs", &"//! x\n".repeat(501), &["501 lines"]);
        check_file("guest-plugins/a/src/lib.rs", &"//! x\n".repeat(501), &["501 lines"]);
        check_file("docs/long.md", &"x\n".repeat(5000), &[]);
    }

    #[test]
    fn words_are_unwanted_in_the_host_and_in_tests() {
        for (word, _) in UNWANTED {
            let text = format!("//! x\n\nfn f() {{ {word} }}\n");
            check_file("host/a/src/lib.rs", &text, &["host/a/src/lib.rs:3: "]);
            check_file("tests/lib.rs", &text, &["tests/lib.rs:3: "]);
            check_file("tests/guests/hostile/sleeper.rs", &text, &[]);
            check_file("docs/page.md", &text, &[]);
        }
    }

    #[test]
    fn an_allow_has_a_reason() {
        let (outer, inner) = (concat!("#[", "allow("), concat!("#![", "allow("));
        check_file(
            "host/a/src/lib.rs",
            &format!("//! x\n{outer}dead_code)]\nfn f() {{}}\n"),
            &["lib.rs:2: "],
        );
        check_file(
            "host/a/src/lib.rs",
            &format!("//! x\n\n{inner}dead_code)]\n"),
            &["lib.rs:3: "],
        );
        let reasoned = format!("//! x\n{outer}\n    dead_code,\n    reason = \"because\"\n)]\n");
        check_file("host/a/src/lib.rs", &reasoned, &[]);
    }

    #[test]
    fn no_file_has_a_path_of_one_machine() {
        let [first, second] = MACHINE_PATHS;
        check_file(
            "README.md",
            &format!("see {first}x and `{second}y`\n"),
            &[first, second],
        );
        check_file("a.toml", &format!("\n\nx = \"{first}x\"\n"), &["a.toml:3: "]);
        check_file(
            "README.md",
            &format!("see docs{first}x and https://example.org{second}y and ~{first}z\n"),
            &[],
        );
    }
}
