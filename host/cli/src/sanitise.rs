//! Text from models, tools and plugins must not steer the terminal: it could hide, overwrite or reorder what the user reads.

use std::borrow::Cow;

use sandbar::protocol::{is_unseen, with_unseen_escaped};

/// What a control character is replaced with.
const REPLACEMENT: char = '\u{fffd}';

/// Takes out escape sequences, and replaces control characters other than line break and tab, and overrides of the direction of
/// writing. Every text that comes from outside goes through this before it is printed.
pub(crate) fn sanitise(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '\u{1b}' | '\u{9b}' => match escape_length(first, after) {
                Some(length) => &after[length..],
                None => {
                    clean.push(REPLACEMENT);
                    after
                }
            },
            '\r' if after.starts_with('\n') => after,
            harmful if is_harmful(harmful) => {
                clean.push(REPLACEMENT);
                after
            }
            harmless => {
                clean.push(harmless);
                after
            }
        };
    }
    Cow::Owned(clean)
}

/// Sanitised, and what nobody would see is written out: for the texts of a plugin.
pub(crate) fn visible(text: &str) -> String {
    with_unseen_escaped(&sanitise(text)).into_owned()
}

/// The same on one line, and at most `most` characters long.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let text = visible(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let kept: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// For what a person decides on: on one line, and nothing is hidden, since two names that look alike may be two.
pub(crate) fn exact(text: &str) -> String {
    text.chars()
        .map(|c| match is_unseen(c) || c != ' ' && c.is_whitespace() {
            true => c.escape_default().to_string(),
            false => c.to_string(),
        })
        .collect()
}

fn is_harmful(c: char) -> bool {
    let overrides_direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && !matches!(c, '\n' | '\t')) || overrides_direction
}

/// The length of an escape sequence (ECMA-48) without its first character, if it is complete.
fn escape_length(first: char, after: &str) -> Option<usize> {
    let bytes = after.as_bytes();
    if first == '\u{9b}' {
        return control_sequence_length(bytes);
    }
    match bytes.first()? {
        b'[' => control_sequence_length(&bytes[1..]).map(|length| length + 1),
        // Commands with a text, such as a window's title or a link: they end with BEL or ESC \.
        b']' | b'P' | b'X' | b'^' | b'_' => {
            let ends = [("\u{7}", 1), ("\u{1b}\\", 2)];
            ends.iter()
                .filter_map(|(end, length)| after.find(end).map(|at| at + length))
                .min()
        }
        b' '..=b'/' => bytes
            .get(1)
            .is_some_and(|last| (b'0'..=b'~').contains(last))
            .then_some(2),
        b'0'..=b'~' => Some(1),
        _ => None,
    }
}

fn control_sequence_length(bytes: &[u8]) -> Option<usize> {
    let parameters = bytes.iter().take_while(|byte| (b' '..=b'?').contains(byte)).count();
    bytes
        .get(parameters)
        .is_some_and(|last| (b'@'..=b'~').contains(last))
        .then_some(parameters + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(sanitise(text), expected, "{text:?}");
        check("", "");
        check("two\nlines\tand ünï👩‍🚀", "two\nlines\tand ünï👩‍🚀");
        check("\u{1b}[31mred\u{1b}[0m", "red");
        check("\u{1b}[2J\u{1b}[1;1Hover\u{1b}[?25l", "over");
        check("\u{1b}]0;title\u{7}x\u{1b}]8;;http://a\u{1b}\\link", "xlink");
        check("\u{9b}31mred", "red");
        check("\u{1b}cx\u{1b}(Bx", "xx");
        check("cut off \u{1b}", "cut off \u{fffd}");
        check("cut off \u{1b}[31", "cut off \u{fffd}[31");
        check("cut off \u{1b}]0;title", "cut off \u{fffd}]0;title");
        check("\u{1b}ü", "\u{fffd}ü");
        check("a\r\nb\rc\u{8}\u{7}\0", "a\nb\u{fffd}c\u{fffd}\u{fffd}\u{fffd}");
        check("txt\u{202e}exe\u{2066}", "txt\u{fffd}exe\u{fffd}");
        check("\u{85}\u{7f}", "\u{fffd}\u{fffd}");
    }

    #[test]
    fn nothing_is_hidden() {
        let check = |text: &str, expected: &str| assert_eq!(exact(text), expected, "{text:?}");
        check("plain ü 文", "plain ü 文");
        check("a\u{200b}b\u{202e}c", r"a\u{200b}b\u{202e}c");
        check("a\nb\u{1b}[1m\u{a0}\u{e0041}", r"a\nb\u{1b}[1m\u{a0}\u{e0041}");
        check("é\u{e01ef}\u{3164}❤\u{fe0f}", r"é\u{e01ef}\u{3164}❤\u{fe0f}");
    }

    #[test]
    fn lines_are_cut() {
        let check = |text: &str, most, expected: &str| assert_eq!(one_line(text, most), expected, "{text:?}");
        check(" a\n b\u{1b}[1m ", 10, "a b");
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abcde…");
        check("abcd efg", 6, "abcd…");
        check("üüüü", 3, "üü…");
        check("a\u{200b}\u{e0041}❤\u{fe0f}", 40, "a\\u{200b}\\u{e0041}❤\u{fe0f}");
    }
}
