//! Characters that nobody sees: they say something to a model that no person reads, or make a line read as another.
//!
//! What is refused, and what is shown in another way, is for the caller. Results of tools and the contents of files are not searched.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// What stands for a character that was taken out, where that must be told.
const REPLACEMENT: char = '\u{fffd}';

/// `Default_Ignorable_Code_Point` of DerivedCoreProperties.txt, Unicode 16.0: what a program shows as nothing
/// if it doesn't know better. The bidirectional controls of PropList.txt are among them.
const IGNORABLE: [RangeInclusive<char>; 17] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fff8}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// The rest of what has no picture of its own: separators of lines and paragraphs, and marks around annotations.
const FURTHER: [RangeInclusive<char>; 2] = ['\u{2028}'..='\u{2029}', '\u{fff9}'..='\u{fffb}'];

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
const AS_TEXT: char = '\u{fe0e}';
const AS_EMOJI: char = '\u{fe0f}';

/// Whether nobody would see a character for what it is, wherever it stands: control characters but line break and tab, too.
pub fn is_unseen(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() && !matches!(c, '\n' | '\t');
    }
    c.is_control() || IGNORABLE.iter().chain(&FURTHER).any(|range| range.contains(&c))
}

/// Without the characters that nobody sees.
pub fn without_unseen(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(marked(text).filter(|(_, is_seen)| *is_seen).map(|(c, _)| c).collect())
}

/// The same with a mark for each.
pub fn with_unseen_replaced(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let shown = |(c, is_seen)| if is_seen { c } else { REPLACEMENT };
    Cow::Owned(marked(text).map(shown).collect())
}

/// The same with each written as `\u{200b}`, so that a person can tell which they were.
pub fn with_unseen_escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for (c, is_seen) in marked(text) {
        match is_seen {
            true => escaped.push(c),
            false => escaped.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

/// The characters of a text, each with whether it is seen.
///
/// One that joins, or chooses a picture, is a part of what is seen where it stands alone behind a character that is no ASCII: emoji need it,
/// and the scripts of Persia and India. More than one in a row would be a message, but for the two that hold some emoji together.
fn marked(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut allowed: &[char] = &[];
    text.chars().map(move |c| {
        let is_unseen = is_unseen(c);
        let is_seen = !is_unseen || allowed.contains(&c);
        allowed = match c {
            AS_EMOJI if is_seen => &[JOINER],
            c if !is_unseen && !c.is_ascii() => &[NON_JOINER, JOINER, AS_TEXT, AS_EMOJI],
            _ => &[],
        };
        (c, is_seen)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::Regex;

    use super::*;

    /// The table is held to another program's copy of the Unicode Character Database, over every character there is.
    #[test]
    fn all_that_unicode_calls_ignorable_is_unseen() {
        let hidden = Regex::new(r"[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Cc}\p{Zl}\p{Zp}]").unwrap();
        let all: String = ('\0'..=char::MAX).collect();
        let mut expected: BTreeSet<char> = hidden
            .find_iter(&all)
            .filter_map(|found| found.as_str().chars().next())
            .collect();
        expected.extend('\u{fff9}'..='\u{fffb}');
        expected.retain(|c| !matches!(c, '\n' | '\t'));
        let found: BTreeSet<char> = all.chars().filter(|c| is_unseen(*c)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_nobody_sees_is_taken_out_replaced_or_escaped() {
        let check = |text: &str, without: &str, replaced: &str, escaped: &str| {
            assert_eq!(without_unseen(text), without, "{text:?}");
            assert_eq!(with_unseen_replaced(text), replaced, "{text:?}");
            assert_eq!(with_unseen_escaped(text), escaped, "{text:?}");
        };
        let same = |text: &str| check(text, text, text, text);
        same("");
        same("two\nlines\tand ünï 文 العربية");
        same("👩\u{200d}🚀 🏳\u{fe0f}\u{200d}🌈 ❤\u{fe0f} می\u{200c}خواهم क\u{200d}");
        check(
            "a\u{e0041}\u{e007f}b",
            "ab",
            "a\u{fffd}\u{fffd}b",
            r"a\u{e0041}\u{e007f}b",
        );
        check("a\u{202e}b\u{2066}", "ab", "a\u{fffd}b\u{fffd}", r"a\u{202e}b\u{2066}");
        check("é\u{e0100}\u{e01ef}", "é", "é\u{fffd}\u{fffd}", r"é\u{e0100}\u{e01ef}");
        check(
            "\u{ad}\u{34f}\u{61c}\u{180e}x",
            "x",
            "\u{fffd}\u{fffd}\u{fffd}\u{fffd}x",
            r"\u{ad}\u{34f}\u{61c}\u{180e}x",
        );
        check(
            "\u{1b}[2J\r\0",
            "[2J",
            "\u{fffd}[2J\u{fffd}\u{fffd}",
            r"\u{1b}[2J\u{d}\u{0}",
        );
        // Where they join nothing, and from the second on.
        check("a\u{200d}\u{fe0f}b", "ab", "a\u{fffd}\u{fffd}b", r"a\u{200d}\u{fe0f}b");
        check(
            "❤\u{fe0f}\u{fe0f}x",
            "❤\u{fe0f}x",
            "❤\u{fe0f}\u{fffd}x",
            "❤\u{fe0f}\\u{fe0f}x",
        );
        check(
            "я\u{200d}\u{200c}",
            "я\u{200d}",
            "я\u{200d}\u{fffd}",
            "я\u{200d}\\u{200c}",
        );
    }
}
