//! The forms of one value that are looked for.

use super::MIN_PROTECTED_BYTES;
use super::views::squeezed;

/// The value as it is. What else it may be called is for the view to say in which it was found.
pub(super) const PLAIN: &str = "plain";

/// A text to look for, without white space and control characters.
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) text: Vec<u8>,
}

/// None for a value that is too short.
///
/// Percent-encoding and JSON escapes are taken back in the text that is searched, since each character may or may not be encoded; what
/// stands between characters (line breaks, the zeros of UTF-16) is dropped there. The rest is here.
pub(super) fn forms_of(value: &str) -> Option<Vec<Form>> {
    let plain = squeezed(value.as_bytes());
    if plain.len() < MIN_PROTECTED_BYTES {
        return None;
    }
    let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut forms = Vec::new();
    let mut add = |name: &'static str, text: Vec<u8>| forms.push(Form { name, text });
    add("reversed", plain.iter().rev().copied().collect());
    add("reversed", squeezed(value.chars().rev().collect::<String>().as_bytes()));
    for separator in ["", ":", "-"] {
        add("hex", hexadecimal(value.as_bytes(), separator));
    }
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            add("base64", base64_inner(value.as_bytes(), before, alphabet));
            add("base64", base64_inner(&utf16, before, alphabet));
        }
    }
    if !value.is_ascii() {
        add("utf-16", squeezed(&utf16));
        add(
            "utf-16",
            squeezed(&value.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()),
        );
    }
    add(PLAIN, plain);
    // What squeezing made short is in innocent bytes as well.
    forms.retain(|form| form.text.len() >= MIN_PROTECTED_BYTES);
    forms.sort_by(|one, other| {
        one.text
            .cmp(&other.text)
            .then_with(|| (one.name != PLAIN).cmp(&(other.name != PLAIN)))
    });
    forms.dedup_by(|later, earlier| later.text == earlier.text);
    Some(forms)
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters of base64 that depend on nothing but the value, if as many bytes stand before it (modulo 3).
fn base64_inner(bytes: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bit = |at: usize| match at.checked_sub(before * 8) {
        Some(at) => bytes[at / 8] >> (7 - at % 8) & 1,
        None => 0,
    };
    let (first, end) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
    let digit = |character: usize| (0..6).fold(0, |digit, at| digit << 1 | usize::from(bit(character * 6 + at)));
    (first..end).map(|character| alphabet[digit(character)]).collect()
}

/// With the separator between two bytes, and none at the ends, which may be written in another way.
fn hexadecimal(bytes: &[u8], separator: &str) -> Vec<u8> {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(separator).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole groups of three are what every encoder writes; the vectors of RFC 4648 and one with all kinds of digits.
    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, expected) in [
            (b"foo".as_slice(), "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff, 0xbf], "+/+/"),
            (&[0x14, 0xfb, 0x9c, 0x03, 0xd9, 0x7e], "FPucA9l+"),
        ] {
            assert_eq!(String::from_utf8(base64_inner(bytes, 0, STANDARD)).unwrap(), expected);
        }
        assert_eq!(base64_inner(&[0xfb, 0xff, 0xbf], 0, URL_SAFE), b"-_-_");
        // `xfoobar` is `eGZvb2Jhcg==`, `xyfoobar` is `eHlmb29iYXI=`: the ends depend on what is beside the value.
        assert_eq!(base64_inner(b"foobar", 1, STANDARD), b"Zvb2Jhc");
        assert_eq!(base64_inner(b"foobar", 2, STANDARD), b"mb29iYX");
    }
}
