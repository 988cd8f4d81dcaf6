//! Texts from outside, as errors quote them.

use sandbar_protocol::without_unseen;

/// One line, without characters that nobody sees.
pub(crate) fn plain(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    without_unseen(&words.join(" ")).into_owned()
}

/// At most so many characters. What must not be seen is taken out before: of what lies across the end, the beginning would be left.
pub(crate) fn cut(line: &str, most: usize) -> String {
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Replaces a secret, and what begins like it: providers quote keys with their middle blotted out.
pub(crate) fn redacted(text: &str, secret: Option<&str>) -> String {
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
        return text.to_owned();
    };
    let start: String = secret.chars().take(SHOWN_START).collect();
    let text = text.replace(secret, "…");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(&start).filter(|_| start.chars().count() == SHOWN_START) {
        let end = rest[at..].find(|c: char| c.is_whitespace() || "\"'`,;<>(){}[]".contains(c));
        out.push_str(&rest[..at]);
        out.push('…');
        rest = end.map_or("", |end| &rest[at + end..]);
    }
    out.push_str(rest);
    out
}

/// How many characters of a secret make its beginning: those of `sk-` and one more.
const SHOWN_START: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_texts_are_one_plain_line() {
        for (text, expected) in [
            ("", ""),
            ("  a\r\n\tb\u{1b}[31m c\0", "a b [31m c"),
            ("a\u{202E}b\u{2066}", "ab"),
            ("a\u{ad}b\u{61C}c\u{E0041}\u{E007F}", "abc"),
            ("größer", "größe…"),
            ("12345", "12345"),
        ] {
            assert_eq!(cut(&plain(text), if text.starts_with('g') { 5 } else { 20 }), expected);
        }
    }

    #[test]
    fn secrets_are_taken_out() {
        let secret = Some("sk-test-12345678");
        for (text, expected) in [
            ("the key sk-test-12345678 is bad", "the key … is bad"),
            (
                "Incorrect API key provided: sk-te*****5678. Ask",
                "Incorrect API key provided: … Ask",
            ),
            ("\"sk-test-1\" and sk-test", "\"…\" and …"),
            ("nothing of sk- here", "nothing of sk- here"),
        ] {
            assert_eq!(redacted(text, secret), expected);
        }
        assert_eq!(redacted("key sk-test", None), "key sk-test");
        assert_eq!(redacted("the key is abc", Some("abc")), "the key is …");
    }
}
