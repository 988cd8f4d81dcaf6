//! Entries in `kv`: one key each, so that two processes don't overwrite each other's.

use std::collections::BTreeMap;

use sandbar_sdk::remembered::{Entry, EntryPage};
use sandbar_sdk::{Error, kv};
use serde::{Deserialize, Serialize};

/// What the ids of turns begin with; others are notes.
pub(crate) const TURN: &str = "turn-";

/// Entries at once: a recall reads all of them.
pub(crate) const MAX_ENTRIES: usize = 256;

const PREFIX: &str = "entry/";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// A note, or what the user said in a turn.
    pub(crate) text: String,
    /// What was answered; none in a note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply: Option<String>,
    /// Milliseconds since 1970 UTC.
    pub(crate) at_ms: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Kept {
    /// Everything in it, for looking for words.
    pub(crate) fn said(&self) -> String {
        format!("{} {}", self.text, self.reply.as_deref().unwrap_or_default())
    }

    pub(crate) fn entry(self, id: &str) -> Entry {
        let mut annotations: Vec<(String, String)> = self.annotations.into_iter().collect();
        annotations.retain(|(key, _)| key != "at-ms");
        annotations.push(("at-ms".to_owned(), self.at_ms.to_string()));
        Entry {
            id: id.to_owned(),
            text: match self.reply {
                Some(reply) => format!("user: {}\nanswer: {reply}", self.text),
                None => self.text,
            },
            annotations,
        }
    }
}

/// With their ids. One that can't be read is left out: the others are of use without it.
pub(crate) fn all() -> Result<Vec<(String, Kept)>, Error> {
    let mut all = Vec::new();
    for key in kv::all_keys(PREFIX)? {
        let id = key[PREFIX.len()..].to_owned();
        if let Some(kept) = read(&id)? {
            all.push((id, kept));
        }
    }
    Ok(all)
}

/// Makes room for it first: the oldest turns go.
pub(crate) fn keep(id: &str, kept: &Kept) -> Result<(), Error> {
    let keys = kv::all_keys(PREFIX)?;
    let is_new = !keys.iter().any(|key| key[PREFIX.len()..] == *id);
    if is_new && keys.len() >= MAX_ENTRIES {
        let mut turns = all()?;
        turns.retain(|(id, _)| id.starts_with(TURN));
        turns.sort_by_key(|(_, kept)| kept.at_ms);
        let too_many = keys.len() + 1 - MAX_ENTRIES;
        if turns.len() < too_many {
            return Err(Error::new("full", format!("there are {MAX_ENTRIES} notes already"))
                .hint("forget some that are no longer needed"));
        }
        for (id, _) in turns.iter().take(too_many) {
            forget(id)?;
        }
    }
    let json = serde_json::to_vec(kept).map_err(|error| Error::new("not-json", error.to_string()))?;
    kv::set(&format!("{PREFIX}{id}"), json)
}

pub(crate) fn forget(id: &str) -> Result<(), Error> {
    kv::delete(&format!("{PREFIX}{id}"))
}

pub(crate) fn page(after: Option<&str>, limit: u32) -> Result<EntryPage, Error> {
    let after = after.map(|id| format!("{PREFIX}{id}"));
    let page = kv::keys(PREFIX, after.as_deref(), limit.min(MAX_ENTRIES as u32))?;
    let mut entries = Vec::new();
    for key in &page.keys {
        let id = &key[PREFIX.len()..];
        entries.extend(read(id)?.map(|kept| kept.entry(id)));
    }
    let last = page.keys.last().filter(|_| page.more);
    Ok(EntryPage {
        entries,
        next: last.map(|key| key[PREFIX.len()..].to_owned()),
    })
}

fn read(id: &str) -> Result<Option<Kept>, Error> {
    let json = kv::get(&format!("{PREFIX}{id}"))?;
    Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
}
