//! A memory that does what its configuration says: `recall` and `commit` may be `loop`, `trap`, `fail`, `write` or `flood`.
//!
//! Else it keeps each turn under the next number, so that a turn that is committed twice is there twice, and recalls all of them.

use sandbar_sdk::remembered::{CallContext, Entry, EntryPage, Turn};
use sandbar_sdk::{Error, Memory, kv};

sandbar_sdk::memory_plugin!(Probe);

struct Probe;

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Config {
    recall: String,
    commit: String,
}

impl Memory for Probe {
    fn recall(_query: &str, context: &CallContext) -> Result<Vec<Entry>, Error> {
        behave(&context.config::<Config>()?.recall)?;
        if context.config::<Config>()?.recall == "flood" {
            return Ok((0..1_000).map(|n| Entry::new(n.to_string(), "x")).collect());
        }
        entries()
    }

    fn remember(entry: Entry, _context: &CallContext) -> Result<String, Error> {
        let id = if entry.id.is_empty() { next()? } else { entry.id };
        kv::set(&format!("entry/{id}"), entry.text)?;
        Ok(id)
    }

    fn forget(id: &str, _context: &CallContext) -> Result<(), Error> {
        kv::delete(&format!("entry/{id}"))
    }

    fn list(after: Option<&str>, limit: u32, _context: &CallContext) -> Result<EntryPage, Error> {
        let mut entries = entries()?;
        entries.retain(|entry| after.is_none_or(|after| entry.id.as_str() > after));
        entries.truncate(limit as usize);
        Ok(EntryPage { entries, next: None })
    }

    fn commit(turn: &Turn, context: &CallContext) -> Result<(), Error> {
        behave(&context.config::<Config>()?.commit)?;
        kv::set(
            &format!("entry/{}", next()?),
            format!("{} -> {}", turn.request, turn.reply),
        )
    }
}

fn behave(how: &str) -> Result<(), Error> {
    match how {
        "loop" => loop {
            std::hint::black_box(how);
        },
        "trap" => panic!("as it was told"),
        "fail" => Err(Error::new("out-of-order", "the memory is out of order")),
        "write" => kv::set("written", "x"),
        _ => Ok(()),
    }
}

fn next() -> Result<String, Error> {
    Ok(format!("{:04}", kv::all_keys("entry/")?.len() + 1))
}

fn entries() -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for key in kv::all_keys("entry/")? {
        let text = kv::get(&key)?.unwrap_or_default();
        entries.push(Entry::new(&key["entry/".len()..], String::from_utf8_lossy(&text)));
    }
    Ok(entries)
}
