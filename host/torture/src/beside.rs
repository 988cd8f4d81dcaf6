//! Rows that are written beside the events: what plugins keep and how they fail, approvals, entries of the audit, answers to questions.
//! What was asked for, what of it was acknowledged, and whether that is there.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use futures::executor::block_on;
use futures::future::BoxFuture;
use sandbar_protocol::{
    Answer, AuditEntry, Authority, KvCall, KvReply, KvScope, KvSpace, Result, SessionId, SuspensionId, WorkspaceId,
};
use sandbar_store::{ApprovalPlace, FAILURES_IN_A_ROW, NewApproval, Store, SuspensionState};

use crate::chance::Chance;
use crate::script;
use crate::verify::Findings;

/// So few that most are written again and again.
const KEYS: usize = 6;

/// The longest value: one that takes several pages.
const MAX_VALUE: usize = 10_000;

/// The plugin whose rows they are, and its component.
const PLUGIN: &str = "keeper";
const DIGEST: &str = "5eed";

/// Who decides here.
pub(crate) const WHO: &str = "torture";

/// One row, or one change of it.
#[derive(Debug, Clone)]
pub(crate) enum Row {
    /// A value by its key, and its place among all that the key was given.
    Value(String, usize),
    Approval(String),
    Entry(String),
    Answer(SuspensionId),
    /// One more failure of the plugin.
    Failure,
}

/// Something that the store was asked for, and its answer.
pub(crate) type Asked = BoxFuture<'static, (Row, Result<()>)>;

#[derive(Debug, Default)]
pub(crate) struct Beside {
    values: BTreeMap<String, Values>,
    /// By the tool; true where it was acknowledged, here and below.
    approvals: BTreeMap<String, bool>,
    /// By the target.
    entries: BTreeMap<String, bool>,
    answers: BTreeMap<SuspensionId, bool>,
    /// So many rows were asked for in turn.
    asked: usize,
    failures: u32,
    acknowledged_failures: u32,
}

/// What one key was given, none where it was deleted.
#[derive(Debug, Default)]
struct Values {
    sent: Vec<Option<Vec<u8>>>,
    /// So many of them were acknowledged.
    acknowledged: usize,
}

impl Beside {
    /// Asks the store for the next row: every kind is due in turn, so that a short workload has all of them.
    pub(crate) fn ask(&mut self, store: &Store, chance: &mut Chance) -> Asked {
        self.asked += 1;
        match self.asked % 6 {
            1 => self.approve(store),
            2 => self.audit(store),
            4 => self.fail(store),
            _ => self.keep(store, chance),
        }
    }

    fn keep(&mut self, store: &Store, chance: &mut Chance) -> Asked {
        let key = format!("key-{}", chance.below(KEYS));
        let value = (!chance.percent(20)).then(|| {
            let length = chance.below(MAX_VALUE);
            chance.text(length).into_bytes()
        });
        let values = self.values.entry(key.clone()).or_default();
        values.sent.push(value.clone());
        let (row, store) = (Row::Value(key.clone(), values.sent.len()), store.clone());
        async move {
            let call = match value {
                Some(value) => KvCall::Set { key, value },
                None => KvCall::Delete { key },
            };
            (row, store.key_values(space(), call).await.map(drop))
        }
        .boxed()
    }

    fn approve(&mut self, store: &Store) -> Asked {
        let number = self.approvals.len();
        let (tool, store) = (format!("{PLUGIN}__tool{number}"), store.clone());
        self.approvals.insert(tool.clone(), false);
        let name = format!("p{number}");
        let place = match number.is_multiple_of(2) {
            true => ApprovalPlace::Session(SessionId::parse(&name).expect("it is a good name")),
            false => ApprovalPlace::Workspace(WorkspaceId::parse(&name).expect("it is a good name")),
        };
        let new = NewApproval {
            tool: tool.clone(),
            digest: DIGEST.to_owned(),
            authority: Some(Authority::default()),
            place,
            by: WHO.to_owned(),
        };
        async move { (Row::Approval(tool), store.approve(new).await) }.boxed()
    }

    fn audit(&mut self, store: &Store) -> Asked {
        let (target, store) = (format!("target-{}", self.entries.len()), store.clone());
        self.entries.insert(target.clone(), false);
        let entry = AuditEntry::of(ACTION, &target);
        async move { (Row::Entry(target), store.audit(entry).await) }.boxed()
    }

    fn fail(&mut self, store: &Store) -> Asked {
        self.failures += 1;
        let store = store.clone();
        async move {
            (
                Row::Failure,
                store.plugin_failed(PLUGIN, DIGEST, "it crashed").await.map(drop),
            )
        }
        .boxed()
    }

    /// None where it was answered before, or where that was tried: a store that failed may have it nevertheless.
    pub(crate) fn answer(&mut self, store: &Store, question: &SuspensionId) -> Option<Asked> {
        if self.answers.contains_key(question) {
            return None;
        }
        self.answers.insert(question.clone(), false);
        let (question, store) = (question.clone(), store.clone());
        let answer = Answer {
            value: script::answer(),
            by: WHO.to_owned(),
        };
        let asked = async move {
            let answered = store.answer(&question, answer).await;
            (Row::Answer(question), answered)
        };
        Some(asked.boxed())
    }

    pub(crate) fn acknowledge(&mut self, row: Row) {
        match row {
            Row::Value(key, place) => {
                let values = self.values.entry(key).or_default();
                values.acknowledged = values.acknowledged.max(place);
            }
            Row::Approval(tool) => drop(self.approvals.insert(tool, true)),
            Row::Entry(target) => drop(self.entries.insert(target, true)),
            Row::Answer(question) => drop(self.answers.insert(question, true)),
            Row::Failure => self.acknowledged_failures += 1,
        }
    }

    /// How many of each kind were acknowledged.
    pub(crate) fn acknowledged(&self) -> [(&'static str, u64); 5] {
        let of = |rows: &mut dyn Iterator<Item = &bool>| rows.filter(|acknowledged| **acknowledged).count() as u64;
        let values = self.values.values().map(|values| values.acknowledged as u64).sum();
        [
            ("values", values),
            ("approvals", of(&mut self.approvals.values())),
            ("entries of the audit", of(&mut self.entries.values())),
            ("answers", of(&mut self.answers.values())),
            ("failures", u64::from(self.acknowledged_failures)),
        ]
    }
}

/// The action of entries that follow from nothing else.
const ACTION: &str = "torture.act";

fn space() -> KvSpace {
    KvSpace {
        plugin: PLUGIN.into(),
        scope: KvScope::Shared,
    }
}

impl Beside {
    /// Everything acknowledged is there, once, and nothing that was not asked for.
    pub(crate) fn check(&self, store: &Store, findings: &mut Findings) -> Result<()> {
        self.check_values(store, findings)?;
        self.check_audited(store, findings)?;
        self.check_answers(store, findings)?;
        let health = store.health_of(PLUGIN, DIGEST)?;
        let count = health.as_ref().map_or(0, |health| health.in_a_row);
        if count < self.acknowledged_failures {
            findings.lose(format!(
                "{} failures of a plugin were acknowledged, {count} are counted",
                self.acknowledged_failures
            ));
        }
        if count > self.failures {
            findings.say(format!(
                "{count} failures of a plugin are counted, {} were told",
                self.failures
            ));
        }
        let is_aside = health.is_some_and(|health| health.put_aside_ms.is_some());
        if is_aside != (count >= FAILURES_IN_A_ROW) {
            findings.say(format!("a plugin with {count} failures is put aside: {is_aside}"));
        }
        Ok(())
    }

    /// The last one that was acknowledged, or one after it.
    fn check_values(&self, store: &Store, findings: &mut Findings) -> Result<()> {
        for (key, values) in &self.values {
            let call = KvCall::Get { key: key.clone() };
            let KvReply::Value(found) = block_on(store.key_values(space(), call))? else {
                continue;
            };
            let may_be = match values.acknowledged {
                0 => found.is_none() || values.sent.contains(&found),
                acknowledged => values.sent[acknowledged - 1..].contains(&found),
            };
            if !may_be {
                findings.lose(format!(
                    "the value of `{key}` is older than the acknowledged one, or none that was sent"
                ));
            }
        }
        let all = KvCall::Keys {
            prefix: String::new(),
            after: None,
            limit: usize::MAX,
        };
        let KvReply::Keys(keys) = block_on(store.key_values(space(), all))? else {
            return Ok(());
        };
        for key in keys.iter().filter(|key| !self.values.contains_key(*key)) {
            findings.say(format!("nobody wrote the key `{key}`"));
        }
        Ok(())
    }

    /// What has an entry in the audit, and the entries.
    fn check_audited(&self, store: &Store, findings: &mut Findings) -> Result<()> {
        let mut audited: BTreeMap<(String, String), usize> = BTreeMap::new();
        store.each_audit_entry(1, |record| {
            let entry = &record.entry;
            *audited.entry((entry.action.clone(), entry.target.clone())).or_default() += 1;
            Ok(())
        })?;
        let mut take =
            |action: &str, target: &str| audited.remove(&(action.to_owned(), target.to_owned())).unwrap_or(0);
        for (target, acknowledged) in &self.entries {
            once("the entry", target, take(ACTION, target), *acknowledged, findings);
        }
        let approvals = store.approvals()?;
        for (tool, acknowledged) in &self.approvals {
            let found = approvals.iter().filter(|approval| approval.tool == *tool).count();
            once("the approval of", tool, found, *acknowledged, findings);
            let told = take("approval.give", tool);
            if told != found {
                findings.say(format!(
                    "the approval of `{tool}` is there {found} times and audited {told} times"
                ));
            }
        }
        let left: Vec<_> = audited
            .keys()
            .filter(|(action, _)| matches!(action.as_str(), ACTION | "approval.give"))
            .collect();
        if !left.is_empty() || approvals.len() > self.approvals.len() {
            findings.say(format!(
                "nobody asked for {left:?}, or for one of {} approvals",
                approvals.len()
            ));
        }
        if let Err(error) = store.verify_audit(None) {
            findings.say(format!("the audit is no chain: {error}"));
        }
        Ok(())
    }

    fn check_answers(&self, store: &Store, findings: &mut Findings) -> Result<()> {
        for question in self
            .answers
            .iter()
            .filter(|(_, acknowledged)| **acknowledged)
            .map(|(question, _)| question)
        {
            let found = store.suspension(question)?;
            let is_there = found.is_some_and(|found| {
                let value = found.answer.map(|answer| answer.value);
                found.state != SuspensionState::Open && value == Some(script::answer())
            });
            if !is_there {
                findings.lose(format!("the answer to `{question}` was acknowledged and is gone"));
            }
        }
        Ok(())
    }
}

fn once(what: &str, name: &str, found: usize, acknowledged: bool, findings: &mut Findings) {
    if acknowledged && found == 0 {
        findings.lose(format!("{what} `{name}` was acknowledged and is gone"));
    }
    if found > 1 {
        findings.say(format!("{what} `{name}` is there {found} times"));
    }
}
