//! The values that must not get out, in the forms in which they could: plain, base64, hexadecimal, percent-encoded, as JSON.
//!
//! What it can't find: a value of which only a part is there, or whose parts are in different places (two headers, two calls); one that is
//! encrypted, compressed or hashed; one in another base (base32, base85), as HTML entities, or encoded twice over otherwise than by percent;
//! one between whose characters stands something else than white space and control characters of ASCII, no-break spaces, soft hyphens,
//! characters without width, and marks that turn the direction of text (`views.rs` has the list); one of fewer than `MIN_PROTECTED_BYTES`.
//! It catches accidents and the plain ways to smuggle, and is no replacement for not handing a value out in the first place.

mod ends;
mod forms;
#[cfg(test)]
mod tests;
mod views;

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use serde_json::{Map, Value};

use self::forms::forms_of;
use self::views::View;

/// What is put in the place of a protected value.
pub const REDACTED: &str = "[redacted]";
/// Shorter values aren't looked for: they are in innocent texts as well.
pub const MIN_PROTECTED_BYTES: usize = 8;

/// Knows protected values. Costs nothing to look with when there are none; else a few passes over the text, however many there are.
#[derive(Default)]
pub struct Protected {
    names: Vec<String>,
    too_short: Vec<String>,
    search: Option<Search>,
}

/// A protected value that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The secret's name.
    pub name: String,
    /// `plain`, `base64`, `hex`, `percent`, `json`, `utf-16` or `reversed`.
    pub form: &'static str,
}

struct Search {
    /// Of all forms of all values. Letters count the same in upper and lower case: names of headers lose theirs.
    automaton: AhoCorasick,
    /// By the automaton's pattern: whose it is, and which form.
    patterns: Vec<(usize, &'static str)>,
    /// The automaton's patterns themselves, to find beginnings of them.
    texts: Vec<Vec<u8>>,
    /// Whether a value has spaces in it, for which forms have `+`.
    spaces: bool,
}

impl Protected {
    /// From names and values.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut made = Self::default();
        let (mut texts, mut patterns, mut spaces) = (Vec::new(), Vec::new(), false);
        for (name, value) in values {
            let Some(forms) = forms_of(&value) else {
                made.too_short.push(name);
                continue;
            };
            spaces |= value.contains(' ');
            patterns.extend(forms.iter().map(|form| (made.names.len(), form.name)));
            texts.extend(forms.into_iter().map(|form| form.text));
            made.names.push(name);
        }
        if !texts.is_empty() {
            // A fuzzer makes one for nearly every input, and looks for a moment: what is made fast finds the same.
            let kind = cfg!(fuzzing).then_some(AhoCorasickKind::NoncontiguousNFA);
            let automaton = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(kind)
                .build(&texts);
            made.search = Some(Search {
                automaton: automaton.expect("the patterns are a few kilobytes, far below what an automaton can hold"),
                patterns,
                texts,
                spaces,
            });
        }
        made
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.search.is_none()
    }

    /// The names of the values that are too short to be looked for: their owner should know.
    pub fn too_short(&self) -> &[String] {
        &self.too_short
    }

    /// The first one in some bytes.
    pub fn find(&self, bytes: &[u8]) -> Option<Leak> {
        let search = self.search.as_ref()?;
        views::of(bytes, search.spaces).find_map(|view| {
            let found = search.automaton.find(&view.bytes)?;
            let (value, form) = search.patterns[found.pattern().as_usize()];
            let form = if form == forms::PLAIN { view.form() } else { form };
            Some(Leak {
                name: self.names[value].clone(),
                form,
            })
        })
    }

    /// The text with all of them replaced by `[redacted]`. JSON text stays JSON unless a value has quotes in it, or is a number:
    /// `redact_json` is for JSON.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let spans = self.spans(text.as_bytes());
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let whole = |span: Range<usize>| text.floor_char_boundary(span.start)..text.ceil_char_boundary(span.end);
        let mut redacted = String::with_capacity(text.len());
        let mut done = 0;
        for span in merged(spans.into_iter().map(whole).collect()) {
            redacted.push_str(&text[done..span.start]);
            redacted.push_str(REDACTED);
            done = span.end;
        }
        redacted.push_str(&text[done..]);
        Cow::Owned(redacted)
    }

    /// How much of the beginning of a text can be looked through by itself, whatever follows: no value lies across that end. For texts
    /// that still go on, and for those whose rest was lost: there, what is behind it is dropped, so that of a value that was cut no part
    /// is left. Of a `str`, it is the boundary of a character.
    ///
    /// A text that is there as a whole is searched first and cut then.
    pub fn settled(&self, text: &[u8]) -> usize {
        let Some(search) = &self.search else {
            return text.len();
        };
        let end = floor_character(text, ends::open_end(text, &search.texts, search.spaces));
        // A value that is whole already stays whole.
        let spans = self.spans(text);
        let across = spans.iter().find(|span| span.start < end && end < span.end);
        across.map_or(end, |span| floor_character(text, span.start))
    }

    /// The same for the bytes of an artifact or a body; none if there was nothing to replace.
    pub fn redact_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let spans = self.spans(bytes);
        if spans.is_empty() {
            return None;
        }
        let mut redacted = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for span in spans {
            redacted.extend_from_slice(&bytes[done..span.start]);
            redacted.extend_from_slice(REDACTED.as_bytes());
            done = span.end;
        }
        redacted.extend_from_slice(&bytes[done..]);
        Some(redacted)
    }

    /// The same for all texts (keys as well) of a JSON value, and for its numbers, which become texts; says whether there was one.
    pub fn redact_json(&self, value: &mut Value) -> bool {
        if self.is_empty() {
            return false;
        }
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => match self.redact(&number.to_string()) {
                Cow::Borrowed(_) => false,
                Cow::Owned(redacted) => {
                    *value = Value::String(redacted);
                    true
                }
            },
            Value::String(text) => match self.redact(text) {
                Cow::Borrowed(_) => false,
                Cow::Owned(redacted) => {
                    *text = redacted;
                    true
                }
            },
            Value::Array(items) => items
                .iter_mut()
                .fold(false, |found, item| self.redact_json(item) | found),
            Value::Object(fields) => self.redact_fields(fields),
        }
    }

    fn redact_fields(&self, fields: &mut Map<String, Value>) -> bool {
        let found = fields
            .values_mut()
            .fold(false, |found, field| self.redact_json(field) | found);
        let keys: Vec<String> = fields
            .keys()
            .filter(|key| !self.spans(key.as_bytes()).is_empty())
            .cloned()
            .collect();
        for key in &keys {
            let field = fields.remove(key).unwrap_or_default();
            let mut redacted = self.redact(key).into_owned();
            // Two keys may have become one: no field is lost.
            while fields.contains_key(&redacted) {
                redacted.push('_');
            }
            fields.insert(redacted, field);
        }
        found || !keys.is_empty()
    }

    /// Where the values are, in order, not touching each other.
    fn spans(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let Some(search) = &self.search else {
            return Vec::new();
        };
        let mut spans = Vec::new();
        for view in views::of(bytes, search.spaces) {
            if search.automaton.is_match(&view.bytes) {
                spans.extend(search.spans(bytes, &view));
            }
        }
        merged(spans)
    }
}

impl Search {
    fn spans(&self, bytes: &[u8], view: &View) -> Vec<Range<usize>> {
        let found = self.automaton.find_overlapping_iter(&view.bytes);
        let spans = merged(found.map(|found| found.start()..found.end()).collect());
        let spans = view.originals(bytes, spans).into_iter();
        spans.map(|span| views::whole_escapes(bytes, span)).collect()
    }
}

/// The nearest boundary of a character in UTF-8 that isn't behind this place.
fn floor_character(text: &[u8], at: usize) -> usize {
    let is_inside = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
    at - (0..at.min(3)).take_while(|back| is_inside(&(at - back))).count()
}

/// In order, with those that overlap or touch made one.
fn merged(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

impl std::fmt::Debug for Protected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protected")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
