//! A memory of a plugin, as the agent loop and people ask it. (`memory.rs` is about the memory that guests take.)

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sandbar_protocol::policy::KvAccess;
use sandbar_protocol::{Error, Memory, MemoryCaller, MemoryEntry, MemoryOperation, MemoryOutput, Result};

use crate::bindings::memory::exports::sandbar::plugin::memory as wit;
use crate::boundary::{Boundary, Whose};
use crate::error::{broken, limit};
use crate::facts::MemoryTraits;
use crate::guest::{Call, CallPorts};
use crate::kv::KvPort;
use crate::limits::{MAX_ENTRIES, MAX_ENTRIES_BYTES, MAX_ENTRY_BYTES, MAX_ENTRY_ID_BYTES};
use crate::plugins::Plugins;
use crate::sandbox::Setup;
use crate::tool::refusal;
use crate::warm::WarmKey;

#[derive(Debug)]
pub(crate) struct WasmMemory {
    pub(crate) traits: MemoryTraits,
    pub(crate) config: Arc<str>,
    pub(crate) setup: Setup,
    pub(crate) plugins: Arc<Plugins>,
    /// The session that keeps an instance between calls; none takes a fresh one for each.
    pub(crate) warm: Option<Arc<str>>,
}

/// What an export gave, before it is checked.
enum Gave {
    Entries(Vec<wit::Entry>),
    Page(wit::EntryPage),
    Id(String),
    Nothing,
}

impl Memory for WasmMemory {
    fn name(&self) -> &str {
        &self.setup.plugin.name
    }

    fn commits_idempotently(&self) -> bool {
        self.traits.idempotent_commit
    }

    fn call(&self, operation: MemoryOperation, caller: MemoryCaller) -> BoxFuture<'static, Result<MemoryOutput>> {
        let whose = Whose {
            session: caller.run.as_ref().map(|_| caller.session.clone()),
            run: caller.run.clone(),
        };
        let settings = &self.plugins.host.egress.settings;
        let boundary = Boundary::new(settings, self.setup.plugin.name.clone(), whose.clone());
        let operation = boundary.operation(operation);
        let ports = CallPorts {
            whose,
            ..CallPorts::default()
        };
        let mut setup = match self.setup.call(&self.plugins, ports) {
            Ok(setup) => setup,
            Err(error) => return futures::future::ready(Err(error)).boxed(),
        };
        if operation.op().only_looks() {
            // So that it may be repeated, whatever the plugin does.
            setup.ports.kv = setup.ports.kv.map(KvPort::read_only);
        }
        let context = wit::CallContext {
            session: caller.session.to_string(),
            run: caller.run.map(|run| run.to_string()).unwrap_or_default(),
            config: self.config.to_string(),
            annotations: Vec::new(),
        };
        let key = self.warm.as_ref().map(|owner| WarmKey::of(owner, &self.setup.plugin));
        let (plugins, name) = (self.plugins.clone(), self.setup.plugin.name.clone());
        let keeps = self.setup.powers.effective.kv() != KvAccess::None;
        async move {
            let warm = key.as_ref().and_then(|key| plugins.host.warm.take(key));
            let (result, guest) = setup.run(warm, ask(operation, context)).await?;
            if let Some(key) = key {
                plugins.host.keep(key, guest);
            }
            match result {
                Ok(gave) => check(gave)
                    .map(|output| boundary.remembered(output))
                    .map_err(|error| boundary.error(error.told(|why| format!("`{name}` {why}")))),
                Err(error) => Err(explained(refusal(&name, &error, &boundary), &name, keeps)),
            }
        }
        .boxed()
    }
}

/// The export of an operation, with its arguments.
fn ask(operation: MemoryOperation, context: wit::CallContext) -> Call<Result<Gave, wit::Error>> {
    Call::Memory(Box::new(move |store, program| {
        async move {
            let memory = program.sandbar_plugin_memory();
            Ok(match operation {
                MemoryOperation::Recall { query } => {
                    let recalled = memory.call_recall(store, &query, &context).await?;
                    recalled.map(Gave::Entries)
                }
                MemoryOperation::Commit { request, reply } => {
                    let turn = wit::Turn {
                        request,
                        reply,
                        annotations: Vec::new(),
                    };
                    let committed = memory.call_commit(store, &turn, &context).await?;
                    committed.map(|()| Gave::Nothing)
                }
                MemoryOperation::Remember { entry } => {
                    let entry = wit::Entry {
                        id: entry.id,
                        text: entry.text,
                        annotations: entry.annotations.into_iter().collect(),
                    };
                    memory.call_remember(store, &entry, &context).await?.map(Gave::Id)
                }
                MemoryOperation::Forget { id } => {
                    let forgotten = memory.call_forget(store, &id, &context).await?;
                    forgotten.map(|()| Gave::Nothing)
                }
                MemoryOperation::List { after, limit } => {
                    let listed = memory.call_list(store, after.as_deref(), limit, &context).await?;
                    listed.map(Gave::Page)
                }
            })
        }
        .boxed()
    }))
}

/// A plugin is told `denied` and no more; whoever reads the journal is told what would change that.
fn explained(error: Error, name: &str, keeps: bool) -> Error {
    if error.code != "denied" || keeps {
        return error;
    }
    error.with_hint(format!(
        "to let it keep things, write into sandbar.toml:\n[grants.{name}]\nkv = \"shared\""
    ))
}

fn check(gave: Gave) -> Result<MemoryOutput> {
    Ok(match gave {
        Gave::Nothing => MemoryOutput::default(),
        Gave::Id(id) => MemoryOutput {
            id: Some(check_id(id)?),
            ..MemoryOutput::default()
        },
        Gave::Entries(entries) => MemoryOutput {
            entries: check_entries(entries)?,
            ..MemoryOutput::default()
        },
        Gave::Page(page) => MemoryOutput {
            entries: check_entries(page.entries)?,
            next: page.next.map(check_id).transpose()?,
            ..MemoryOutput::default()
        },
    })
}

fn check_entries(entries: Vec<wit::Entry>) -> Result<Vec<MemoryEntry>> {
    if entries.len() > MAX_ENTRIES {
        let message = format!("gave {} entries, the limit is {MAX_ENTRIES}", entries.len());
        return Err(limit("output-too-large", message));
    }
    let mut bytes = 0;
    entries
        .into_iter()
        .map(|entry| {
            let annotations = entry.annotations.iter().map(|(key, value)| key.len() + value.len());
            bytes += entry.id.len() + entry.text.len() + annotations.sum::<usize>();
            if entry.text.len() > MAX_ENTRY_BYTES || bytes > MAX_ENTRIES_BYTES {
                return Err(limit(
                    "output-too-large",
                    format!("gave more than {MAX_ENTRY_BYTES} bytes in an entry, or {MAX_ENTRIES_BYTES} in all"),
                ));
            }
            check_entry(entry)
        })
        .collect()
}

fn check_entry(entry: wit::Entry) -> Result<MemoryEntry> {
    let mut annotations = BTreeMap::new();
    for (key, value) in entry.annotations {
        if annotations.insert(key.clone(), value).is_some() {
            let message = format!("gave an entry with the annotation {key:?} twice");
            return Err(broken("bad-output", message));
        }
    }
    Ok(MemoryEntry {
        id: check_id(entry.id)?,
        text: entry.text,
        annotations,
    })
}

fn check_id(id: String) -> Result<String> {
    match (1..=MAX_ENTRY_ID_BYTES).contains(&id.len()) {
        true => Ok(id),
        false => Err(broken(
            "bad-output",
            format!("gave an id of {} bytes, wanted 1 to {MAX_ENTRY_ID_BYTES}", id.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, text: &str, annotations: &[&str]) -> wit::Entry {
        wit::Entry {
            id: id.to_owned(),
            text: text.to_owned(),
            annotations: annotations
                .iter()
                .map(|key| ((*key).to_owned(), String::new()))
                .collect(),
        }
    }

    #[test]
    fn what_a_memory_gives_is_bounded() {
        let check = |entries: Vec<wit::Entry>, expected: &str| {
            let found = check_entries(entries).map_or_else(|error| error.code, |found| found.len().to_string());
            assert_eq!(found, expected);
        };
        let large = "x".repeat(MAX_ENTRY_BYTES);
        check(vec![], "0");
        check(vec![entry("a", "", &["x", "y"])], "1");
        check(vec![entry("a", "", &["x", "x"])], "bad-output");
        check(vec![entry("", "", &[])], "bad-output");
        check(vec![entry(&"i".repeat(129), "", &[])], "bad-output");
        check(vec![entry("a", &large, &[])], "1");
        check(vec![entry("a", &format!("{large}x"), &[])], "output-too-large");
        check(vec![entry("a", &large, &[]); 15], "15");
        check(vec![entry("a", &large, &[]); 17], "output-too-large");
        check(vec![entry("a", "", &[]); 256], "256");
        check(vec![entry("a", "", &[]); 257], "output-too-large");
    }
}
