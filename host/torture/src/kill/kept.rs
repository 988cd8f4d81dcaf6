//! What outlives a run beside its events: what memories keep, how plugins fare, and the audit. Held against the events.

use std::collections::BTreeMap;

use anyhow::Result;
use futures::executor::block_on;
use sandbar::protocol::{
    Event, EventBody, KvCall, KvReply, KvScope, KvSpace, MemoryOp, MemoryOutcome, RunId, SessionId, ToolOutcome,
};
use sandbar::store::{AuditHash, FAILURES_IN_A_ROW, Store};
use serde_json::Value;

use super::world::{BREAKS, NOTES};

/// What the events of all sessions say about it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) problems: Vec<String>,
    /// Events that have an entry in the audit each, by its action.
    audited: BTreeMap<String, u64>,
    turns: BTreeMap<(SessionId, RunId), Turn>,
    /// Calls of the plugin that crashes, which ended so.
    crashes: u32,
}

/// A turn that a memory was about to be given.
#[derive(Debug)]
struct Turn {
    plugin: String,
    request: String,
    reply: String,
    /// The memory has said that it has it.
    acknowledged: bool,
}

impl Kept {
    pub(crate) fn tell(&mut self, event: &Event) {
        if let Some(action) = action(&event.body) {
            *self.audited.entry(action).or_default() += 1;
        }
        let place = || (event.session.clone(), event.run.clone());
        match &event.body {
            EventBody::MemoryStarted {
                plugin,
                op: MemoryOp::Commit,
                input_head,
                ..
            } => {
                let (request, reply) = input_head.split_once("\n\n").unwrap_or((input_head, ""));
                let turn = Turn {
                    plugin: plugin.clone(),
                    request: request.to_owned(),
                    reply: reply.to_owned(),
                    acknowledged: false,
                };
                self.turns.insert(place(), turn);
            }
            EventBody::MemoryFinished {
                op, plugin, outcome, ..
            } => match outcome {
                MemoryOutcome::Output(_) if *op == MemoryOp::Commit => {
                    if let Some(turn) = self.turns.get_mut(&place()) {
                        turn.acknowledged = true;
                    }
                }
                MemoryOutcome::Output(_) => {}
                // Only where it may not be repeated can nobody know how it ended.
                MemoryOutcome::Error(error) => {
                    let may_be = *op == MemoryOp::Commit && plugin != NOTES && error.code == "outcome-unknown";
                    if !may_be {
                        self.complain(format!("`{}` of `{plugin}` failed: {error}", op.as_str()));
                    }
                }
            },
            EventBody::ToolFinished {
                outcome: ToolOutcome::Error(error),
                ..
            } if error.code == "plugin-trapped" => self.crashes += 1,
            _ => {}
        }
    }

    /// Gives what the audit ends with, of which `before` was an end once.
    pub(crate) fn check(&mut self, store: &Store, before: Option<AuditHash>) -> Result<Option<AuditHash>> {
        self.check_memories(store)?;
        self.check_health(store)?;
        for (action, count) in self.audited.clone() {
            let found = audited(store, &action)?.len() as u64;
            if found != count {
                self.complain(format!(
                    "the audit has {found} entries of `{action}`, the events say {count}"
                ));
            }
        }
        match store.verify_audit(before) {
            Ok(span) => Ok(span.map(|span| span.head)),
            Err(error) => {
                self.complain(error.to_string());
                Ok(before)
            }
        }
    }

    /// A turn that a memory has said to have is there, none is there twice, and none that nobody was about to hand over.
    fn check_memories(&mut self, store: &Store) -> Result<()> {
        let mut spaces: BTreeMap<(String, SessionId), Vec<(RunId, Turn)>> = BTreeMap::new();
        for ((session, run), turn) in std::mem::take(&mut self.turns) {
            spaces
                .entry((turn.plugin.clone(), session))
                .or_default()
                .push((run, turn));
        }
        for ((plugin, session), turns) in spaces {
            let space = KvSpace {
                plugin: plugin.as_str().into(),
                scope: KvScope::Session(session.clone()),
            };
            let entries = entries(store, &space)?;
            let mut accounted = 0;
            for (run, turn) in turns {
                let found = entries.iter().filter(|(key, value)| turn.is(&run, key, value)).count();
                accounted += found;
                let of = format!("the turn of `{run}` in the memory `{plugin}`");
                if found > 1 {
                    self.complain(format!("session `{session}`: {of} is there {found} times"));
                }
                if turn.acknowledged && found == 0 {
                    self.complain(format!("session `{session}`: {of} was acknowledged and is gone"));
                }
            }
            if entries.len() != accounted {
                let more = entries.len() - accounted;
                self.complain(format!(
                    "session `{session}`: `{plugin}` keeps {more} entries of no turn"
                ));
            }
        }
        Ok(())
    }

    /// What is counted of a plugin can be read, and it is put aside where the audit's last word on it says so.
    fn check_health(&mut self, store: &Store) -> Result<()> {
        let health = store.plugin_health()?;
        let is_aside = health
            .iter()
            .any(|found| found.plugin == BREAKS && found.put_aside_ms.is_some());
        let mut said_aside = false;
        for action in audited(store, "plugin")? {
            let aside = action == "plugin.put-aside";
            if aside == said_aside {
                self.complain(format!("`{action}` is twice in the audit, one after the other"));
            }
            said_aside = aside;
        }
        if is_aside != said_aside {
            self.complain(format!(
                "that `{BREAKS}` is put aside is {is_aside} by its count, {said_aside} by the audit"
            ));
        }
        if self.crashes >= FAILURES_IN_A_ROW && audited(store, "plugin.put-aside")?.is_empty() {
            self.complain(format!(
                "`{BREAKS}` crashed {} times and was never put aside",
                self.crashes
            ));
        }
        Ok(())
    }

    fn complain(&mut self, problem: String) {
        self.problems.push(problem);
    }
}

impl Turn {
    /// Whether that is how its memory keeps it.
    fn is(&self, run: &RunId, key: &str, value: &[u8]) -> bool {
        if self.plugin != NOTES {
            return value == format!("{} -> {}", self.request, self.reply).as_bytes();
        }
        let kept: Value = serde_json::from_slice(value).unwrap_or_default();
        key == format!("{ENTRY}turn-{run}") && kept["text"] == self.request && kept["reply"] == self.reply
    }
}

/// What both memories put before the key of an entry.
const ENTRY: &str = "entry/";

fn entries(store: &Store, space: &KvSpace) -> Result<Vec<(String, Vec<u8>)>> {
    let all = KvCall::Keys {
        prefix: ENTRY.to_owned(),
        after: None,
        limit: usize::MAX,
    };
    let KvReply::Keys(keys) = block_on(store.key_values(space.clone(), all))? else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::new();
    for key in keys {
        let call = KvCall::Get { key: key.clone() };
        if let KvReply::Value(Some(value)) = block_on(store.key_values(space.clone(), call))? {
            entries.push((key, value));
        }
    }
    Ok(entries)
}

/// The actions of the audit's entries with this action, or with one below it.
fn audited(store: &Store, action: &str) -> Result<Vec<String>> {
    let below = format!("{action}.");
    let mut found = Vec::new();
    store.each_audit_entry(1, |record| {
        let entry = &record.entry;
        if entry.action == action || entry.action.starts_with(&below) {
            found.push(entry.action.clone());
        }
        Ok(())
    })?;
    Ok(found)
}

/// The action of the entry that an event has in the audit, if it has one.
fn action(body: &EventBody) -> Option<String> {
    Some(match body {
        EventBody::ModelStarted { .. } => "model.call".to_owned(),
        EventBody::ToolStarted { .. } => "tool.call".to_owned(),
        EventBody::DelegateStarted { .. } => "agent.delegate".to_owned(),
        EventBody::MemoryStarted { op, .. } => format!("memory.{}", op.as_str()),
        EventBody::Resumed {
            suspension: Some(_),
            answer: Some(_),
            by: Some(_),
        } => "answer".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use sandbar::protocol::MemoryOutput;
    use sandbar::store::StoreOptions;

    use super::super::world::COUNTING;
    use super::*;

    /// The events of a turn, as a run has them.
    fn turn(plugin: &str, acknowledged: bool) -> Vec<Event> {
        let begun = EventBody::MemoryStarted {
            effect: "e1".to_owned(),
            ordinal: 1,
            attempt: 1,
            plugin: plugin.to_owned(),
            op: MemoryOp::Commit,
            input_head: "one\n\ntwo".to_owned(),
            input_digest: String::new(),
            idempotent: false,
        };
        let ended = EventBody::MemoryFinished {
            effect: "e1".to_owned(),
            plugin: plugin.to_owned(),
            op: MemoryOp::Commit,
            outcome: MemoryOutcome::Output(MemoryOutput::default()),
            ms: 1,
        };
        let bodies = [Some(begun), acknowledged.then_some(ended)].into_iter().flatten();
        let event = |(sequence, body)| Event {
            session: SessionId::parse("s").unwrap(),
            run: RunId::parse("r").unwrap(),
            sequence,
            at_ms: 1,
            body,
        };
        (1..).zip(bodies).map(event).collect()
    }

    #[test]
    fn a_turn_that_is_gone_or_twice_there_is_found() {
        let check = |plugin: &str, acknowledged: bool, kept: &[(&str, &str)], problem: &str| {
            let store = Store::in_memory(StoreOptions::default()).unwrap();
            for (key, value) in kept {
                let space = KvSpace {
                    plugin: plugin.into(),
                    scope: KvScope::Session(SessionId::parse("s").unwrap()),
                };
                let (key, value) = ((*key).to_owned(), value.as_bytes().to_vec());
                block_on(store.key_values(space, KvCall::Set { key, value })).unwrap();
            }
            let mut found = Kept::default();
            turn(plugin, acknowledged).iter().for_each(|event| found.tell(event));
            found.check_memories(&store).unwrap();
            let found = found.problems.join("; ");
            assert!(
                found.contains(problem) && found.is_empty() == problem.is_empty(),
                "{found}"
            );
        };
        let note = r#"{"text":"one","reply":"two","at_ms":1}"#;
        check(COUNTING, true, &[("entry/0001", "one -> two")], "");
        check(COUNTING, false, &[("entry/0001", "one -> two")], "");
        check(COUNTING, false, &[], "");
        check(COUNTING, true, &[], "was acknowledged and is gone");
        check(
            COUNTING,
            true,
            &[("entry/0001", "one -> two"), ("entry/0002", "one -> two")],
            "is there 2 times",
        );
        check(
            COUNTING,
            false,
            &[("entry/0001", "three")],
            "keeps 1 entries of no turn",
        );
        check(NOTES, true, &[("entry/turn-r", note)], "");
        check(NOTES, true, &[("entry/turn-q", note)], "is gone");
    }

    #[test]
    fn what_the_audit_lacks_is_found() {
        let store = Store::in_memory(StoreOptions::default()).unwrap();
        let mut found = Kept::default();
        turn(COUNTING, false).iter().for_each(|event| found.tell(event));
        found.check(&store, None).unwrap();
        let wanted = "the audit has 0 entries of `memory.commit`, the events say 1";
        assert_eq!(found.problems, [wanted]);
    }

    #[test]
    fn a_plugin_that_is_put_aside_is_so_in_the_audit() {
        let check = |crashes: u32, failures: u32, problem: &str| {
            let store = Store::in_memory(StoreOptions::default()).unwrap();
            for _ in 0..failures {
                block_on(store.plugin_failed(BREAKS, "5eed", "it crashed")).unwrap();
            }
            let mut found = Kept {
                crashes,
                ..Kept::default()
            };
            found.check(&store, None).unwrap();
            assert_eq!(found.problems.join("; "), problem);
        };
        check(FAILURES_IN_A_ROW, FAILURES_IN_A_ROW, "");
        check(1, FAILURES_IN_A_ROW, "");
        check(1, 1, "");
        check(FAILURES_IN_A_ROW, 1, "`echo` crashed 5 times and was never put aside");
    }
}
