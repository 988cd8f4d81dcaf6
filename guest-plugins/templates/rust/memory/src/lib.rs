//! The memory `{{name}}`: remembers the last messages of the user, and recalls those that have a word of the new one.

use sandbar_sdk::remembered::{CallContext, Entry, EntryPage, Turn};
use sandbar_sdk::{Error, Memory, kv};

sandbar_sdk::memory_plugin!(Messages);

/// Messages at once; the first ones make room.
const MOST: usize = 20;

struct Messages;

impl Memory for Messages {
    /// At the beginning of a run. Nothing can be written here.
    fn recall(query: &str, _context: &CallContext) -> Result<Vec<Entry>, Error> {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let mut entries = all()?;
        entries.retain(|entry| {
            let text = entry.text.to_lowercase();
            words.iter().any(|word| text.split_whitespace().any(|other| other == word))
        });
        Ok(entries)
    }

    /// At the end of a run that has finished.
    fn commit(turn: &Turn, context: &CallContext) -> Result<(), Error> {
        Self::remember(Entry::new("", turn.request.as_str()), context).map(drop)
    }

    /// A person or a program wants it kept.
    fn remember(entry: Entry, _context: &CallContext) -> Result<String, Error> {
        let keys = kv::all_keys("message/")?;
        let id = match (entry.id.is_empty(), keys.last()) {
            (false, _) => entry.id,
            (true, None) => "00000001".to_owned(),
            (true, Some(last)) => format!("{:08}", last["message/".len()..].parse::<u32>().unwrap_or(0) + 1),
        };
        for old in keys.iter().take((keys.len() + 1).saturating_sub(MOST)) {
            kv::delete(old)?;
        }
        kv::set(&format!("message/{id}"), entry.text)?;
        Ok(id)
    }

    fn forget(id: &str, _context: &CallContext) -> Result<(), Error> {
        kv::delete(&format!("message/{id}"))
    }

    fn list(after: Option<&str>, limit: u32, _context: &CallContext) -> Result<EntryPage, Error> {
        let mut entries = all()?;
        entries.retain(|entry| after.is_none_or(|after| entry.id.as_str() > after));
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        let next = entries.last().filter(|_| more).map(|entry| entry.id.clone());
        Ok(EntryPage { entries, next })
    }
}

fn all() -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for key in kv::all_keys("message/")? {
        if let Some(text) = kv::get(&key)? {
            entries.push(Entry::new(&key["message/".len()..], String::from_utf8_lossy(&text)));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_with_the_same_word_are_recalled() {
        let context = CallContext::default();
        for message in ["My boat is green", "It rains"] {
            Messages::commit(&Turn::new(message, "I see."), &context).unwrap();
        }
        let recalled = Messages::recall("which boat", &context).unwrap();
        assert_eq!(recalled, [Entry::new("00000001", "My boat is green")]);
    }
}
