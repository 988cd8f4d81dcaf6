//! Where a text stops that goes on elsewhere: how much of its end could be the beginning of a value.

use super::views::{self, View};

/// The longest part of an encoded character that is waited for: `\u0025\u0037\u00`, which becomes `%73`.
const MOST_OPEN: usize = 24;

/// Where the end begins that may belong to a value whose rest is not there. The longest such end counts: shorter ones are in it.
pub(super) fn open_end(bytes: &[u8], patterns: &[Vec<u8>], spaces: bool) -> usize {
    let from = bytes.len().saturating_sub(MOST_OPEN);
    // An encoded character of which a part is there hides what is before it.
    let parts = (from..bytes.len()).filter(|at| is_part(&bytes[*at..]));
    let ends = parts.chain([bytes.len()]);
    let starts = ends.map(|end| begun_at(&bytes[..end], patterns, spaces));
    let start = starts.min().unwrap_or(bytes.len());
    views::whole_escapes(bytes, start..bytes.len()).start
}

/// Where the longest beginning of a value starts with which the text ends, in whichever view; the end, if there is none.
fn begun_at(bytes: &[u8], patterns: &[Vec<u8>], spaces: bool) -> usize {
    let start = |view: View| {
        let begun = patterns.iter().map(|pattern| begun(&view.bytes, pattern)).max()?;
        let end = view.bytes.len();
        let span = Some(end - begun..end).filter(|span| !span.is_empty())?;
        view.originals(bytes, vec![span]).first().map(|span| span.start)
    };
    views::of(bytes, spaces).filter_map(start).min().unwrap_or(bytes.len())
}

/// How many bytes of the pattern the text ends with, if not with all of it.
fn begun(text: &[u8], pattern: &[u8]) -> usize {
    let most = text.len().min(pattern.len().saturating_sub(1));
    let begins = |count: &usize| text[text.len() - count..].eq_ignore_ascii_case(&pattern[..*count]);
    (1..=most).rev().find(begins).unwrap_or(0)
}

/// Whether this may be the first part of one encoded character, or of one in UTF-8.
fn is_part(rest: &[u8]) -> bool {
    match rest[0] {
        b'%' | b'\\' => {
            let written = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'%' | b'\\' | b'u' | b'x');
            rest.iter().all(written) && matches!(views::decoded(rest).first(), Some(b'%' | b'\\'))
        }
        0xC0.. => std::str::from_utf8(rest).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none()),
        _ => false,
    }
}
