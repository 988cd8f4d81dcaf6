//! What a text that was not found was probably meant to be.

use crate::text::cut;

/// Longer files are searched so far.
const MAX_LINES: usize = 20_000;
/// As many lines of `old` are compared.
const MAX_OLD_LINES: usize = 50;
const MAX_SHOWN_BYTES: usize = 200;
/// Below this similarity a line tells nothing.
const ALIKE: f64 = 0.4;

/// How to find the right text, for a person or model that wrote the wrong one.
pub(super) fn hint(text: &str, old: &str) -> String {
    if old.lines().all(has_line_number) {
        return "leave out the line numbers that `read` shows: they are not in the file".to_owned();
    }
    let lines: Vec<&str> = text.lines().take(MAX_LINES).collect();
    let wanted: Vec<&str> = old.lines().take(MAX_OLD_LINES).collect();
    // Blank lines fit anywhere, so the place is where most lines with text fit.
    let fits = |at: usize| {
        let pairs = wanted.iter().zip(&lines[at..]);
        pairs
            .filter(|(a, b)| !a.trim().is_empty() && a.trim() == b.trim())
            .count()
    };
    let best = (0..lines.len())
        .map(|at| (fits(at), at))
        .max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let hint = match best {
        Some((count, at)) if count > 0 => first_difference(&lines, &wanted, at),
        _ => closest_line(&lines, &wanted),
    };
    hint.unwrap_or_else(|| "nothing in the file is like it: `read` the file again".to_owned())
}

/// A line as `read` shows it: blanks, a number, a tab.
fn has_line_number(line: &str) -> bool {
    let number = line.split_once('\t').map(|(number, _)| number.trim_start());
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn first_difference(lines: &[&str], wanted: &[&str], at: usize) -> Option<String> {
    let exact = |a: &str, b: &str| a == b;
    let but_for_blanks = |a: &str, b: &str| a.trim() == b.trim();
    let differs = |same: fn(&str, &str) -> bool| {
        (0..wanted.len()).find(|index| lines.get(at + index).is_none_or(|line| !same(line, wanted[*index])))
    };
    let text = |index: usize| lines.get(at + index).map(|line| cut(line, MAX_SHOWN_BYTES));
    if let Some(index) = differs(but_for_blanks) {
        let found = text(index).map_or("the end of the file".to_owned(), |line| format!("`{line}`"));
        return Some(format!(
            "it comes closest at line {}, but line {} is {found}, and `old` has `{}` there",
            at + 1,
            at + index + 1,
            cut(wanted[index], MAX_SHOWN_BYTES)
        ));
    }
    let index = differs(exact)?;
    Some(format!(
        "only white space differs: line {} is `{}`",
        at + index + 1,
        text(index).unwrap_or_default()
    ))
}

fn closest_line(lines: &[&str], wanted: &[&str]) -> Option<String> {
    let first = wanted.iter().map(|line| line.trim()).find(|line| !line.is_empty())?;
    let first = &first[..first.floor_char_boundary(MAX_SHOWN_BYTES)];
    // Lines of a quite different length can't be alike, and comparing is what takes time.
    let near = |line: &str| line.len() <= 3 * first.len() + 8 && first.len() <= 3 * line.len() + 8;
    let likeness = |line: &str| strsim::sorensen_dice(line, first);
    let candidates = lines.iter().enumerate().filter(|(_, line)| near(line.trim()));
    let scored = candidates.map(|(index, line)| (likeness(line.trim()), index));
    let (score, index) = scored.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))?;
    let line = cut(lines[index], MAX_SHOWN_BYTES);
    (score >= ALIKE).then(|| format!("the closest is line {}: `{line}`", index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints() {
        let text = "fn main() {\n    let x = 1;\n\n    print(x);\n}\n";
        let check = |old: &str, expected: &str| assert_eq!(hint(text, old), expected, "{old:?}");
        check("let z = 1;", "the closest is line 2: `    let x = 1;`");
        check("\tprint(x);", "only white space differs: line 4 is `    print(x);`");
        check(
            "    let x = 1;\n    print(x);",
            "it comes closest at line 2, but line 3 is ``, and `old` has `    print(x);` there",
        );
        check(
            "}\nfn other() {",
            "it comes closest at line 5, but line 6 is the end of the file, and `old` has `fn other() {` there",
        );
        check(
            "     2\t    let x = 1;",
            "leave out the line numbers that `read` shows: they are not in the file",
        );
        check(
            "SELECT * FROM users",
            "nothing in the file is like it: `read` the file again",
        );
    }
}
