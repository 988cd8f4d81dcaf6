//! A no: one sentence for the operator, and nothing for the guest.

use super::power::Power;
use crate::{Error, ErrorKind};

/// Why something isn't done.
///
/// Sentence and mend are for the operator: the audit, the log, the hint of an error that a person sees. The guest is told `denied` and no
/// more, so that it can't feel its way along the policy; the model sees what the guest makes of that, which is the tool's own error, or,
/// where no guest ran, `guest_text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// None where the call as a whole is refused, by a rule for its origin or for its arguments.
    pub power: Option<Power>,
    pub plugin: String,
    /// What it wanted: a method and a URL without its query, a path, a secret's name.
    pub target: String,
    /// One sentence, as in `the plugin `weather` may not send POST to https://api.example.com/v1/: nothing grants it`.
    pub sentence: String,
    /// The exact lines that would allow it, under a comment that says in which file; none where nothing would.
    pub mend: Option<String>,
}

impl Refusal {
    /// All that a guest is ever told.
    pub const GUEST_TEXT: &str = "denied";
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(ErrorKind::Denied, "denied", refusal.sentence);
        match refusal.mend {
            Some(mend) => error.with_hint(format!("this would allow it:\n{mend}")),
            None => error,
        }
    }
}

/// The longest part of a sentence that a plugin or a model chose, in bytes.
const MAX_SHOWN_BYTES: usize = 200;

/// What somebody else wrote, fit for one line of a log: escaped, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(MAX_SHOWN_BYTES)];
    let escaped: String = cut
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c.to_string()
            } else {
                c.escape_default().to_string()
            }
        })
        .collect();
    match text.len() - cut.len() {
        0 => escaped,
        more => format!("{escaped}… ({more} bytes more)"),
    }
}
