//! That values are found however they are written, and that what is around them stays.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const SECRET: &str = "sk-Live_91/x+Q?=2";

fn protected(values: &[&str]) -> Protected {
    let named = values.iter().enumerate();
    Protected::new(named.map(|(number, value)| (format!("secret-{number}"), (*value).to_owned())))
}

fn check(values: &[&str], text: &str, expected: &str) {
    let protected = protected(values);
    assert_eq!(protected.redact(text), expected, "{text}");
    assert_eq!(protected.find(text.as_bytes()).is_some(), text != expected, "{text}");
    let bytes = protected.redact_bytes(text.as_bytes());
    assert_eq!(
        bytes,
        (text != expected).then(|| expected.as_bytes().to_vec()),
        "{text}"
    );
}

#[test]
fn values_are_replaced_and_the_rest_stays() {
    check(&[], SECRET, SECRET);
    check(&[SECRET], "", "");
    check(&[SECRET], "nothing to see", "nothing to see");
    check(&[SECRET], &format!("<{SECRET}>"), "<[redacted]>");
    check(&[SECRET], &format!("ä{SECRET}ä{SECRET}"), "ä[redacted]ä[redacted]");
    check(&[SECRET], &SECRET.to_uppercase(), "[redacted]");
    check(&[SECRET], "sk-Live_91/x+Q?=", "sk-Live_91/x+Q?=");
    check(&["größer als 🦀"], "es ist größer als 🦀!", "es ist [redacted]!");
    // Spaces in a value, and spaces that somebody put in.
    check(&["correct horse"], "correct horse", "[redacted]");
    check(&["correct horse"], "a=correct+horse&b", "a=[redacted]&b");
    check(&["correct horse"], "a=correct%20horse", "a=[redacted]");
    check(&["correct horse"], "correct\n\thorse battery", "[redacted] battery");
    check(&["correcthorse"], "c o r r e c t h\u{200B}orse", "[redacted]");
    check(
        &["correcthorse"],
        "correct\u{200E}h\u{2066}orse\u{202E}",
        "[redacted]\u{202E}",
    );
}

#[test]
fn values_that_overlap_or_contain_each_other_go_as_one() {
    check(&["abcdefghij", "cdefghijkl"], "<abcdefghijkl>", "<[redacted]>");
    check(
        &["abcdefghij", "cdefghij"],
        "<abcdefghij> <cdefghij>",
        "<[redacted]> <[redacted]>",
    );
    check(&["abcdefgh", "ijklmnop"], "<abcdefghijklmnop>", "<[redacted]>");
    check(&["aaaaaaaa"], "<aaaaaaaaaaa>", "<[redacted]>");
}

#[test]
fn short_values_are_named_and_not_looked_for() {
    let protected = Protected::new(
        [("pin", "1234567"), ("blank", "a        b"), ("key", "12345678")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(protected.too_short(), ["pin", "blank"]);
    assert_eq!(protected.redact("1234567 12345678"), "1234567 [redacted]");
    assert!(!protected.is_empty());
    assert!(Protected::new([("pin".to_owned(), "1".to_owned())]).is_empty());
    assert!(Protected::default().is_empty());
}

#[test]
fn the_form_is_told() {
    let utf16: Vec<u8> = SECRET.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let foreign = "schlüsselwörter";
    let foreign16: Vec<u8> = foreign.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (value, bytes, form) in [
        (SECRET, SECRET.as_bytes().to_vec(), "plain"),
        (SECRET, hexadecimal(SECRET.as_bytes()).into_bytes(), "hex"),
        (SECRET, base64(SECRET.as_bytes(), false).into_bytes(), "base64"),
        (SECRET, base64(&utf16, false).into_bytes(), "base64"),
        (SECRET, utf16, "plain"),
        (foreign, foreign16, "utf-16"),
        (SECRET, percent(SECRET, |_| true).into_bytes(), "percent"),
        (
            "line\\and\"quote",
            serde_json::to_vec("line\\and\"quote").unwrap(),
            "json",
        ),
        (
            SECRET,
            SECRET.chars().rev().collect::<String>().into_bytes(),
            "reversed",
        ),
    ] {
        let leak = Leak {
            name: "secret-0".to_owned(),
            form,
        };
        assert_eq!(
            protected(&[value]).find(&bytes),
            Some(leak),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

/// A match may begin or end within an escape: what is left must be JSON all the same.
#[test]
fn json_text_stays_json() {
    for (value, text) in [
        ("nabcdefgh", r#"{"a":"\nabcdefgh"}"#),
        ("0041bcdefg", r#"{"a":"\u0041bcdefg"}"#),
        ("abcdefgh\\", r#"{"a":"abcdefgh\""}"#),
        ("abcdefgh\\", r#"{"a":"abcdefgh\\"}"#),
        ("abcdefgh\\n", r#"{"a":"abcdefgh\n\n"}"#),
        ("\\abcdefgh", r#"{"a":"\\abcdefgh"}"#),
        ("abcdefgh", r#"{"a":"\\\\abcdefgh\\"}"#),
        ("with\"quote and more", r#"{"a":"with\"quote and more"}"#),
        ("ünïcödé", r#"{"a":"\u00fcn\u00efc\u00f6d\u00E9"}"#),
    ] {
        let redacted = protected(&[value]).redact(text).into_owned();
        let parsed: Value = serde_json::from_str(&redacted).unwrap_or_else(|error| panic!("{redacted}: {error}"));
        assert!(parsed["a"].as_str().unwrap().contains(REDACTED), "{redacted}");
    }
}

#[test]
fn json_values_lose_nothing_else() {
    let protected = protected(&["abcdefgh", "12345678"]);
    let mut value = json!({
        "abcdefgh": 1, "ABCDEFGH": 2, "n": 123_456_789, "f": 1.5, "none": null,
        "list": ["x", { "deep": "=abcdefgh=" }, true],
    });
    assert!(protected.redact_json(&mut value));
    assert_eq!(
        value,
        json!({
            "[redacted]": 2, "[redacted]_": 1, "n": "[redacted]9", "f": 1.5, "none": null,
            "list": ["x", { "deep": "=[redacted]=" }, true],
        })
    );
    assert!(!protected.redact_json(&mut value));
}

/// What the module says that it can't find. If one of these is found one day, the sentence there has to go.
#[test]
fn limits_are_as_documented() {
    let (start, end) = SECRET.split_at(9);
    for text in [
        start,
        end,
        &format!("{start}.{end}"),
        &base64(base64(SECRET.as_bytes(), false).as_bytes(), false),
    ] {
        check(&[SECRET], text, text);
    }
}

proptest! {
    #[test]
    fn every_form_is_found_wherever_it_stands(
        value in "[!-~][ -~]{0,40}[a-zA-Z0-9]{8}[ -~äß🦀]{0,20}",
        before in "[ -~ä]{0,9}",
        after in "[ -~ä]{0,9}",
        choice in any::<u64>(),
    ) {
        let some = |at: usize| choice >> (at % 64) & 1 == 1;
        let whole = format!("{before}{value}{after}");
        let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let forms = [
            whole.clone(),
            serde_json::to_string(&whole).unwrap(),
            base64(whole.as_bytes(), false),
            base64(whole.as_bytes(), true),
            base64(whole.as_bytes(), false).trim_end_matches('=').to_owned(),
            base64(&utf16, false),
            lines(&base64(whole.as_bytes(), false)),
            hexadecimal(whole.as_bytes()),
            hexadecimal(whole.as_bytes()).to_uppercase(),
            percent(&whole, |_| true),
            percent(&whole, some),
            percent(&percent(&whole, some), |at| !some(at)),
            url::form_urlencoded::byte_serialize(whole.as_bytes()).collect(),
            value.chars().rev().collect(),
            value.chars().map(|c| format!("{c}\n")).collect(),
        ];
        let protected = protected(&[&value]);
        for form in forms {
            prop_assert!(protected.find(form.as_bytes()).is_some(), "{}", form);
            let redacted = protected.redact(&form);
            prop_assert!(redacted.contains(REDACTED), "{}", redacted);
            prop_assert!(protected.find(redacted.as_bytes()).is_none(), "{} is still in {}", value, redacted);
        }
    }

    #[test]
    fn redaction_keeps_json_and_what_is_around(
        value in "[a-z0-9\\\\/][a-z0-9\\\\/ ]{0,9}[a-z0-9]{8}[a-z0-9\\\\/ ]{0,9}[a-z0-9\\\\/]",
        before in "[A-ZÄ\\\\\"\n ]{0,12}",
        after in "[A-ZÄ\\\\\"\n ]{0,12}",
    ) {
        let protected = protected(&[&value]);
        let text = json!({ "text": format!("{before}{value}{after}"), "other": [1, "two"] }).to_string();
        let parsed: Value = serde_json::from_str(&protected.redact(&text)).unwrap();
        prop_assert_eq!(&parsed["other"], &json!([1, "two"]));
        let plain = protected.redact(&format!("<{before}>{value}<{after}>")).into_owned();
        prop_assert_eq!(plain, format!("<{before}>{REDACTED}<{after}>"));
    }

    /// A text that comes in pieces, of which the end is held back until it is settled.
    #[test]
    fn nothing_is_shown_that_a_later_piece_completes(
        value in "[a-zA-Z0-9/+]{8,24}( [a-z]{3})?",
        before in "[a-z ]{0,60}",
        after in "[a-z ]{0,60}",
        size in 1_usize..20,
        form in 0..FORMS,
    ) {
        let protected = protected(&[&value]);
        let text: Vec<char> = format!("{before}{}{after}", written(&value, form)).chars().collect();
        let (mut held, mut shown) = (String::new(), String::new());
        for piece in text.chunks(size) {
            held.extend(piece);
            let rest = held.split_off(protected.settled(held.as_bytes()));
            shown += &protected.redact(&held);
            held = rest;
        }
        shown += &protected.redact(&held);
        prop_assert!(protected.find(shown.as_bytes()).is_none(), "{}", shown);
        prop_assert!(shown.contains(REDACTED), "{}", shown);
    }

    /// A text whose rest was lost, wherever it was cut: what is left has no part of the value, not even a first byte. Where the
    /// value is whole, it is found.
    #[test]
    fn of_a_value_that_was_cut_no_part_is_left(
        value in "[b-z0-9]{8,24}",
        before in "[A ]{0,12}",
        form in 0..FORMS,
        cut in any::<prop::sample::Index>(),
    ) {
        let protected = protected(&[&value]);
        let written = written(&value, form);
        let whole = format!("{before}{written}");
        let cut = before.len() + cut.index(written.len());
        let settled = &whole.as_bytes()[..protected.settled(&whole.as_bytes()[..cut])];
        let left = protected.redact_bytes(settled).unwrap_or_else(|| settled.to_vec());
        let found = format!("{before}{REDACTED}");
        prop_assert!(
            left.len() <= before.len() || left.starts_with(found.as_bytes()),
            "{:?} is left of {}", String::from_utf8_lossy(&left), whole
        );
    }

    #[test]
    fn anything_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
        let protected = protected(&["abcdefgh", "größer als 🦀", "\\u\\x\\%41+%"]);
        prop_assert_eq!(protected.find(&bytes).is_some(), protected.redact_bytes(&bytes).is_some());
        prop_assert_eq!(protected.find(text.as_bytes()).is_some(), protected.redact(&text) != text);
        prop_assert!(protected.settled(&bytes) <= bytes.len());
        prop_assert!(text.is_char_boundary(protected.settled(text.as_bytes())));
    }
}

/// How much of a text is settled.
#[test]
fn what_could_go_on_is_not_settled() {
    let check = |value: &str, text: &[u8], expected: usize| {
        let found = protected(&[value]).settled(text);
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
    };
    check(SECRET, b"", 0);
    check(SECRET, b"nothing to see", 14);
    check(SECRET, b"the key is s", 11);
    check(SECRET, b"the key is SK-LIVE", 11);
    check(SECRET, b"the key is sk-Live_9,", 21);
    check(SECRET, format!("the key is {SECRET},").as_bytes(), 12 + SECRET.len());
    // Reversed, it begins as it ends.
    check(SECRET, format!("the key is {SECRET}").as_bytes(), 11);
    // What stands between its characters, in other forms, and in parts of encoded characters.
    check(SECRET, b"a s k\n - \tL", 2);
    check(SECRET, b"a %73%6b%2", 2);
    check(SECRET, b"a %2573%256b%252", 2);
    check(SECRET, b"a \\u0073\\u006b\\u00", 2);
    check(SECRET, b"a %7", 2);
    check(SECRET, b"100%", 3);
    check(SECRET, b"100% of it", 10);
    check(SECRET, b"a 736b", 2);
    check(SECRET, "a c2s".as_bytes(), 2);
    check(SECRET, b"a 2=?Q+", 2);
    check("correct horse", b"a correct+ho", 2);
    check("gr\u{f6}\u{df}er als", &"a gr\u{f6}".as_bytes()[..5], 2);
    check("gr\u{f6}\u{df}er als", &"a \u{20ac}".as_bytes()[..4], 2);
    // One value is the beginning of another, or ends as another begins.
    let two = protected(&["abcdefgh", "abcdefghij"]);
    assert_eq!(two.settled(b"<abcdefgh"), 1);
    assert_eq!(two.settled(b"<abcdefgh>"), 10);
    let two = protected(&["abcdefgh", "ghijklmn"]);
    assert_eq!(two.settled(b"<abcdefgh"), 1);
    assert_eq!(protected(&[]).settled(b"sk-"), 3);
}

const FORMS: usize = 9;

/// A value in one of so many forms.
fn written(value: &str, form: usize) -> String {
    let each = |format: fn(char) -> String| value.chars().map(format).collect::<String>();
    match form {
        0 => value.to_owned(),
        1 => hexadecimal(value.as_bytes()),
        2 => percent(value, |_| true),
        3 => base64(value.as_bytes(), false),
        4 => base64(format!("x{value}").as_bytes(), false)[2..].to_owned(),
        5 => value.chars().rev().collect(),
        6 => each(|c| format!("{c} ")),
        7 => each(|c| format!("\\u{:04x}", c as u32)),
        _ => percent(&percent(value, |_| true), |at| at % 3 == 0),
    }
}

/// Encoders of their own, which know nothing of what is tested.
fn base64(bytes: &[u8], url_safe: bool) -> String {
    let alphabet: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(if url_safe { ['-', '_'] } else { ['+', '/'] })
        .collect();
    let group = |chunk: &[u8]| {
        let number = (0..3).fold(0, |number, at| {
            number << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        let digit = |at: usize| {
            if at <= chunk.len() {
                alphabet[number >> (18 - 6 * at) & 63]
            } else {
                '='
            }
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// As in mail: a break after each line.
fn lines(text: &str) -> String {
    let lines = text.as_bytes().chunks(16);
    lines
        .map(|line| format!("{}\r\n", String::from_utf8_lossy(line)))
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Encodes the bytes that `choose` says, and those that have to be: what isn't ASCII, and the percent sign.
fn percent(text: &str, choose: impl Fn(usize) -> bool) -> String {
    let encoded = |(at, byte): (usize, u8)| {
        if choose(at) || !byte.is_ascii() || byte == b'%' {
            format!("%{byte:02X}")
        } else {
            char::from(byte).to_string()
        }
    };
    text.bytes().enumerate().map(encoded).collect()
}
