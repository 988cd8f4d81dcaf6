//! A text as those see it who decode it: each view is searched for the same forms.

use std::borrow::Cow;
use std::ops::Range;

/// How many layers of percent-encoding are taken off.
const MOST_LAYERS: usize = 3;

/// Some bytes, decoded and squeezed.
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// `\n`, `\"`, `\u0041`, `\x41`, as in JSON and in most programming languages.
    Unescape,
    /// `+` is a space, as in forms.
    Plus,
    /// `%41`.
    Percent,
    /// White space, control characters, characters without width, and marks that turn the direction of text are dropped, as far as
    /// `dropped` knows them: line breaks in base64, the zeros of UTF-16, blanks that somebody put in.
    Squeeze,
}

/// All views in which something may be seen that isn't in another, the plainest first.
pub(super) fn of(bytes: &[u8], spaces: bool) -> impl Iterator<Item = View> {
    let mut chains = vec![Vec::new()];
    if bytes.contains(&b'\\') {
        chains.push(vec![Step::Unescape]);
    }
    if spaces && bytes.contains(&b'+') {
        let with_plus = |chain: &Vec<Step>| chain.iter().copied().chain([Step::Plus]).collect();
        chains.extend(chains.iter().map(with_plus).collect::<Vec<_>>());
    }
    chains.into_iter().flat_map(move |chain| layers(bytes, chain))
}

/// The bytes at the end of a chain of steps, with none, one and more layers of percent-encoding taken off.
fn layers(bytes: &[u8], mut steps: Vec<Step>) -> impl Iterator<Item = View> {
    let mut bytes = steps
        .iter()
        .fold(Cow::Borrowed(bytes), |bytes, step| Cow::Owned(applied(&bytes, *step)));
    let mut layer = 0;
    std::iter::from_fn(move || {
        if layer > 0 {
            if layer > MOST_LAYERS || !bytes.contains(&b'%') {
                return None;
            }
            let decoded = applied(&bytes, Step::Percent);
            if decoded == *bytes {
                return None;
            }
            bytes = Cow::Owned(decoded);
            steps.push(Step::Percent);
        }
        layer += 1;
        Some(View {
            bytes: squeezed(&bytes),
            steps: steps.iter().copied().chain([Step::Squeeze]).collect(),
        })
    })
}

impl View {
    /// What a plain value is called that is seen here.
    pub(super) fn form(&self) -> &'static str {
        match self.steps[0] {
            Step::Squeeze => super::forms::PLAIN,
            Step::Unescape => "json",
            Step::Plus | Step::Percent => "percent",
        }
    }

    /// Where in the original bytes some spans of the view are from. They must be in order and not overlap, and stay so.
    pub(super) fn originals(&self, original: &[u8], mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
        // The bytes that each step was applied to.
        let mut inputs = vec![original.to_vec()];
        for step in &self.steps[..self.steps.len() - 1] {
            let input = inputs.last().map_or(&[][..], Vec::as_slice);
            inputs.push(applied(input, *step));
        }
        for (step, input) in self.steps.iter().zip(&inputs).rev() {
            spans = before(*step, input, spans);
        }
        spans
    }
}

/// Where in a step's input some spans of its output are from. A map of each byte would be as large as many texts.
fn before(step: Step, input: &[u8], mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let (mut starts, mut ends, mut at) = (0, 0, 0);
    let outputs = spans.clone();
    apply(input, step, &mut |_, from| {
        if outputs.get(starts).is_some_and(|span| span.start == at) {
            spans[starts].start = from.start;
            starts += 1;
        }
        if outputs.get(ends).is_some_and(|span| span.end == at + 1) {
            spans[ends].end = from.end;
            ends += 1;
        }
        at += 1;
    });
    spans
}

/// With all that is taken off in any view but white space.
pub(super) fn decoded(bytes: &[u8]) -> Vec<u8> {
    let unescaped = applied(bytes, Step::Unescape);
    (0..MOST_LAYERS).fold(unescaped, |bytes, _| applied(&bytes, Step::Percent))
}

/// Without what `Step::Squeeze` drops.
pub(super) fn squeezed(bytes: &[u8]) -> Vec<u8> {
    applied(bytes, Step::Squeeze)
}

/// A span that begins or ends within an escape sequence takes all of it, so that what is left of a JSON text is one.
pub(super) fn whole_escapes(bytes: &[u8], span: Range<usize>) -> Range<usize> {
    let cut_at = |position: usize| {
        // An escape is at most as long as `\u0041`.
        (position.saturating_sub(5)..position)
            .filter(|at| bytes[*at] == b'\\' && begins_escape(bytes, *at))
            .map(|at| at..at + escape_len(&bytes[at..]))
            .find(|escape| escape.end > position)
    };
    let start = cut_at(span.start).map_or(span.start, |escape| escape.start);
    let end = cut_at(span.end).map_or(span.end, |escape| escape.end);
    start..end
}

/// Whether a backslash isn't escaped itself.
fn begins_escape(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    before.is_multiple_of(2)
}

/// How long the escape of JSON is that begins here; 1 where what follows makes it none.
fn escape_len(bytes: &[u8]) -> usize {
    match bytes.get(1) {
        Some(b'u') if number(bytes, 4).is_some() => 6,
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
        _ => 1,
    }
}

fn applied(bytes: &[u8], step: Step) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        // Nearly all bytes stand for themselves, and are copied together.
        let plain = rest.iter().position(|byte| step.changes(*byte)).unwrap_or(rest.len());
        result.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if !rest.is_empty() {
            let (len, decoded) = step.next(rest);
            result.extend_from_slice(&decoded.bytes[..decoded.len]);
            rest = &rest[len..];
        }
    }
    result
}

/// The bytes with which something may begin that `dropped` drops.
const DROPPED: [bool; 256] = {
    let mut begins = [false; 256];
    let mut byte = 0;
    while byte <= b' ' as usize {
        begins[byte] = true;
        byte += 1;
    }
    begins[0x7F] = true;
    begins[0xC2] = true;
    begins[0xE2] = true;
    begins[0xEF] = true;
    begins
};

impl Step {
    /// Whether a byte can begin what doesn't stand for itself.
    fn changes(self, byte: u8) -> bool {
        match self {
            Self::Unescape => byte == b'\\',
            Self::Percent => byte == b'%',
            Self::Plus => byte == b'+',
            Self::Squeeze => DROPPED[usize::from(byte)],
        }
    }

    /// What the first bytes stand for, and how many they are.
    fn next(self, bytes: &[u8]) -> (usize, Decoded) {
        match self {
            Self::Unescape => unescape(bytes),
            Self::Percent => percent(bytes),
            Self::Plus if bytes[0] == b'+' => (1, Decoded::byte(b' ')),
            Self::Plus => (1, Decoded::byte(bytes[0])),
            Self::Squeeze => match dropped(bytes) {
                0 => (1, Decoded::byte(bytes[0])),
                len => (len, Decoded::default()),
            },
        }
    }
}

/// Gives each byte of the result and from where it is.
fn apply(bytes: &[u8], step: Step, emit: &mut impl FnMut(u8, Range<usize>)) {
    let mut at = 0;
    while at < bytes.len() {
        let (len, decoded) = step.next(&bytes[at..]);
        for byte in &decoded.bytes[..decoded.len] {
            emit(*byte, at..at + len);
        }
        at += len;
    }
}

/// At most one character.
#[derive(Default)]
struct Decoded {
    bytes: [u8; 4],
    len: usize,
}

impl Decoded {
    fn byte(byte: u8) -> Self {
        Self {
            bytes: [byte, 0, 0, 0],
            len: 1,
        }
    }

    fn character(character: char) -> Self {
        let mut bytes = [0; 4];
        let len = character.encode_utf8(&mut bytes).len();
        Self { bytes, len }
    }
}

/// The first character of some bytes, and how many it takes.
fn unescape(bytes: &[u8]) -> (usize, Decoded) {
    let plain = (1, Decoded::byte(bytes[0]));
    if bytes[0] != b'\\' {
        return plain;
    }
    match bytes.get(1) {
        Some(b'n' | b't' | b'r' | b'b' | b'f') => (2, Decoded::byte(b'\n')),
        Some(byte @ (b'\\' | b'"' | b'/' | b'\'')) => (2, Decoded::byte(*byte)),
        Some(b'x') => number(bytes, 2).map_or(plain, |code| (4, Decoded::byte(code as u8))),
        Some(b'u') => match number(bytes, 4) {
            Some(high @ 0xD800..0xDC00) => {
                let low = bytes
                    .get(6..)
                    .filter(|rest| rest.starts_with(b"\\u"))
                    .and_then(|rest| number(rest, 4));
                let pair = low.and_then(|low| char::decode_utf16([high as u16, low as u16]).next()?.ok());
                pair.map_or(plain, |character| (12, Decoded::character(character)))
            }
            Some(code) => char::from_u32(code).map_or(plain, |character| (6, Decoded::character(character))),
            None => plain,
        },
        _ => plain,
    }
}

fn percent(bytes: &[u8]) -> (usize, Decoded) {
    let code = if bytes[0] == b'%' {
        digits(bytes.get(1..3))
    } else {
        None
    };
    match code {
        Some(code) => (3, Decoded::byte(code as u8)),
        None => (1, Decoded::byte(bytes[0])),
    }
}

/// The number of so many hexadecimal digits after a backslash and a letter.
fn number(escape: &[u8], length: usize) -> Option<u32> {
    digits(escape.get(2..2 + length))
}

fn digits(digits: Option<&[u8]>) -> Option<u32> {
    digits?
        .iter()
        .try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// How many bytes here stand for nothing that is seen.
fn dropped(bytes: &[u8]) -> usize {
    match bytes {
        [byte, ..] if *byte <= b' ' || *byte == 0x7F => 1,
        // Zero width space, non-joiner, joiner, word joiner, byte order mark; marks that turn the direction of text.
        [0xE2, 0x80, 0x8B..=0x8F | 0xAA..=0xAE, ..] | [0xE2, 0x81, 0xA0..=0xA9, ..] | [0xEF, 0xBB, 0xBF, ..] => 3,
        // No-break space, soft hyphen.
        [0xC2, 0xA0 | 0xAD, ..] => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is copied together is what would come byte by byte.
    #[test]
    fn bytes_that_stand_for_themselves_are_known() {
        for step in [Step::Unescape, Step::Plus, Step::Percent, Step::Squeeze] {
            for first in 0..=u8::MAX {
                for rest in ["u0041z", "n", "41", "", "\u{80}\u{8b}", "\u{a0}"] {
                    let rest = rest.chars().map(|c| c as u8);
                    let text: Vec<u8> = [b'a', first]
                        .into_iter()
                        .chain(rest)
                        .chain([0x8B, b'%', b'b'])
                        .collect();
                    let mut slowly = Vec::new();
                    apply(&text, step, &mut |byte, _| slowly.push(byte));
                    assert_eq!(applied(&text, step), slowly, "{step:?} {text:?}");
                }
            }
        }
    }
}
