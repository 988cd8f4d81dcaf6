//! A memory that keeps turns and notes, and recalls those that share words with what is asked.
//!
//! Simple on purpose: it needs no model, and what it does can be looked up. It knows no synonyms, and what shares no word is not found.

mod kept;
mod words;

use std::hash::{BuildHasher, Hasher, RandomState};

use sandbar_sdk::remembered::{CallContext, Entry, EntryPage, Turn};
use sandbar_sdk::{Error, Memory};

use kept::Kept;

sandbar_sdk::memory_plugin!(Notes);

/// What one recall gives at most.
const MAX_RECALLED: usize = 8;
/// What fits less than this part of what fits best shares no more than the small words of its language.
const LEAST_SHARE: f64 = 0.4;
/// The longest note, in bytes.
const MAX_NOTE_BYTES: usize = 4 << 10;
/// What is kept of a message or an answer of a turn, in bytes: what matters in either mostly comes first.
const MAX_SAID_BYTES: usize = 1 << 10;

struct Notes;

impl Memory for Notes {
    /// A turn is kept under the name of its run.
    const IDEMPOTENT_COMMIT: bool = true;

    fn recall(query: &str, _context: &CallContext) -> Result<Vec<Entry>, Error> {
        let kept = kept::all()?;
        let texts: Vec<String> = kept.iter().map(|(_, kept)| kept.said()).collect();
        let scores = words::scores(query, &texts);
        let least = scores.iter().copied().fold(0.0, f64::max) * LEAST_SHARE;
        let mut found: Vec<(f64, &(String, Kept))> = scores
            .into_iter()
            .zip(&kept)
            .filter(|(score, _)| *score > 0.0 && *score >= least)
            .collect();
        // The best first, and of equals the newest.
        found.sort_by(|(one, (_, a)), (other, (_, b))| other.total_cmp(one).then(b.at_ms.cmp(&a.at_ms)));
        let best = found.into_iter().take(MAX_RECALLED);
        Ok(best.map(|(_, (id, kept))| kept.clone().entry(id)).collect())
    }

    fn remember(entry: Entry, _context: &CallContext) -> Result<String, Error> {
        if entry.text.trim().is_empty() || entry.text.len() > MAX_NOTE_BYTES {
            let message = format!("a note has 1 to {MAX_NOTE_BYTES} bytes, found {}", entry.text.len());
            return Err(Error::new("invalid-input", message));
        }
        let id = match entry.id.is_empty() {
            true => format!("note-{:016x}", RandomState::new().build_hasher().finish()),
            false => entry.id,
        };
        let note = Kept {
            text: entry.text,
            reply: None,
            at_ms: now_ms(),
            annotations: entry.annotations.into_iter().collect(),
        };
        kept::keep(&id, &note)?;
        Ok(id)
    }

    fn forget(id: &str, _context: &CallContext) -> Result<(), Error> {
        kept::forget(id)
    }

    fn list(after: Option<&str>, limit: u32, _context: &CallContext) -> Result<EntryPage, Error> {
        kept::page(after, limit)
    }

    fn commit(turn: &Turn, context: &CallContext) -> Result<(), Error> {
        let (request, reply) = (cut(turn.request.trim()), cut(turn.reply.trim()));
        if request.is_empty() {
            return Ok(());
        }
        let annotations = [("session", &context.session), ("run", &context.run)];
        let turn = Kept {
            text: request.to_owned(),
            reply: Some(reply.to_owned()),
            at_ms: now_ms(),
            annotations: annotations
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .collect(),
        };
        kept::keep(&format!("{}{}", kept::TURN, context.run), &turn)
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_SAID_BYTES)]
}

fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a guest's clock is what the host gives it")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(run: &str) -> CallContext {
        CallContext {
            run: run.to_owned(),
            ..CallContext::default()
        }
    }

    fn recalled(query: &str) -> Vec<String> {
        let found = Notes::recall(query, &CallContext::default()).unwrap();
        found.into_iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn what_shares_words_is_recalled_the_rarest_first() {
        Notes::commit(&Turn::new("My name is Ada.", "Hello Ada."), &at("r-1")).unwrap();
        Notes::commit(&Turn::new("My boat is green.", "Nice."), &at("r-2")).unwrap();
        Notes::commit(&Turn::new("我住在北京", "好的"), &at("r-3")).unwrap();
        assert_eq!(recalled("what is the name of my boat, Ada?"), ["turn-r-1", "turn-r-2"]);
        assert_eq!(recalled("what colour is the green boat?"), ["turn-r-2"]);
        assert_eq!(recalled("ADA"), ["turn-r-1"]);
        assert_eq!(recalled("北京的天气"), ["turn-r-3"]);
        assert_eq!(recalled("umbrella"), [""; 0]);
        assert_eq!(recalled(""), [""; 0]);
    }

    #[test]
    fn a_turn_is_kept_once_and_notes_can_be_replaced_and_forgotten() {
        let context = CallContext::default();
        for _ in 0..2 {
            Notes::commit(&Turn::new("one", "two"), &at("r-1")).unwrap();
        }
        Notes::commit(&Turn::new("  ", "said nothing"), &at("r-2")).unwrap();
        let id = Notes::remember(Entry::new("", "buy milk"), &context).unwrap();
        assert!(id.starts_with("note-"), "{id}");
        assert_eq!(
            Notes::remember(Entry::new(id.as_str(), "buy bread"), &context).unwrap(),
            id
        );
        let page = Notes::list(None, 10, &context).unwrap();
        let texts: Vec<&str> = page.entries.iter().map(|entry| entry.text.as_str()).collect();
        assert_eq!(texts, ["buy bread", "user: one\nanswer: two"]);
        assert_eq!(page.next, None);
        let first = Notes::list(None, 1, &context).unwrap();
        assert_eq!((first.entries.len(), first.next.as_deref()), (1, Some(id.as_str())));
        let second = Notes::list(first.next.as_deref(), 1, &context).unwrap();
        assert_eq!((second.entries[0].id.as_str(), second.next), ("turn-r-1", None));
        Notes::forget(&id, &context).unwrap();
        Notes::forget(&id, &context).unwrap();
        assert_eq!(Notes::list(None, 10, &context).unwrap().entries.len(), 1);
        let long = "x".repeat(MAX_NOTE_BYTES + 1);
        assert_eq!(
            Notes::remember(Entry::new("", long), &context).unwrap_err().code,
            "invalid-input"
        );
    }

    #[test]
    fn the_oldest_turns_make_room() {
        let note = Notes::remember(Entry::new("", "kept whatever comes"), &CallContext::default()).unwrap();
        for run in 0..kept::MAX_ENTRIES + 20 {
            Notes::commit(&Turn::new("word", "answer"), &at(&run.to_string())).unwrap();
        }
        let all = kept::all().unwrap();
        assert_eq!(all.len(), kept::MAX_ENTRIES);
        assert!(all.iter().any(|(id, _)| *id == note), "a note is no turn");
        assert_eq!(recalled("word").len(), MAX_RECALLED);
    }
}
