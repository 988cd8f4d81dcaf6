//! Errors of the configuration: place first, so that a terminal can open it.
//!
//! Texts that the user wrote are shown only where a name or one of a few words was wanted: anything else might be a secret.

use sandbar_protocol::{Error, ErrorKind};

use super::origin::Place;

/// A problem at a place; without one it concerns the configuration as a whole.
pub(super) fn problem(place: Option<&Place>, code: &str, message: &str) -> Error {
    let message = match place {
        Some(place) => format!("{place}: {message}"),
        None => message.to_owned(),
    };
    Error::new(ErrorKind::Config, format!("config-{code}"), message)
}

/// The likeliest of what is known, if any is likely.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let slips = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|known| strsim::jaro_winkler(word, known) > 0.8 || strsim::damerau_levenshtein(word, known) <= slips)
        .max_by(|a, b| strsim::jaro_winkler(word, a).total_cmp(&strsim::jaro_winkler(word, b)))
        .map(|known| format!("did you mean `{known}`?"))
}

/// What the user may have meant: the likeliest of what is known, else all of it under the heading `what`, else `otherwise`.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, what: &str, otherwise: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match did_you_mean(word, known.iter().copied()) {
        Some(hint) => hint,
        None if known.is_empty() => otherwise.to_owned(),
        None => format!("{what}: {}", quoted(&known)),
    }
}

/// "`a`, `b` or `c`"
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => format!("{} or `{last}`", quoted(first)),
    }
}

pub(super) fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
