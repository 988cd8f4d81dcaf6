//! The audit: one chain that tells when it was changed.

use sandbar_protocol::{
    AuditDecision, AuditEntry, DecidedBy, RunSetup, Suspension, SuspensionId, SuspensionKind, WorkspaceId,
};

use crate::{ApprovalPlace, AuditCheck, AuditFilter, AuditHash, AuditRecord, NewApproval};

use super::*;

fn entries(store: &Store) -> Vec<AuditRecord> {
    store.audit_entries(&AuditFilter::default(), usize::MAX).unwrap()
}

/// `1 tool.call files__write denied person ada`, one line an entry.
pub(super) fn shown(store: &Store) -> Vec<String> {
    let line = |record: AuditRecord| {
        let entry = record.entry;
        let by = match entry.by {
            DecidedBy::Person(name) => format!("person {name}"),
            DecidedBy::Rule(line) => format!("rule {line}"),
            DecidedBy::Default => "default".to_owned(),
        };
        let (action, target, decision) = (entry.action, entry.target, entry.decision.as_str());
        format!("{} {action} {target} {decision} {by}", record.id)
    };
    entries(store).into_iter().map(line).collect()
}

async fn ten_entries(store: &Store) {
    for n in 1..=10 {
        let entry = AuditEntry::of("http.request", &format!("GET https://example.org/{n}"));
        store.audit(entry).await.unwrap();
    }
}

/// Changes a table of ten entries, and looks what a check says: the code and the beginning of the message.
async fn check_damage(statements: &str, head: Option<usize>, expected: (&str, &str)) {
    let (directory, store) = directory_and_store();
    ten_entries(&store).await;
    let head = head.map(|n| entries(&store)[n - 1].hash);
    assert_eq!(store.verify_audit(head).unwrap().unwrap().last, 10);
    sql(directory.path()).execute_batch(statements).unwrap();
    let found = match store.verify_audit(head) {
        Ok(span) => ("sound".to_owned(), span.map_or(0, |span| span.last).to_string()),
        Err(error) => {
            assert_eq!(error.kind, sandbar_protocol::ErrorKind::Storage);
            assert!(error.hint.is_some());
            (error.code, error.message)
        }
    };
    assert_eq!(found.0, expected.0, "{statements}: {}", found.1);
    assert!(found.1.starts_with(expected.1), "{statements}: {}", found.1);
}

#[tokio::test]
async fn a_changed_chain_is_found_out() {
    let damaged = |what: &'static str| ("audit-damaged", what);
    let unfit = "entry 5 of the audit is damaged: its hash doesn't fit its content";
    check_damage(
        "UPDATE audit SET target = 'GET https://example.org/0' WHERE id = 5",
        None,
        damaged(unfit),
    )
    .await;
    check_damage(
        "UPDATE audit SET decision = 'denied' WHERE id = 5",
        None,
        damaged(unfit),
    )
    .await;
    check_damage("UPDATE audit SET at_ms = at_ms + 1 WHERE id = 5", None, damaged(unfit)).await;
    check_damage(
        "UPDATE audit SET by_kind = 'person', by_name = 'ada' WHERE id = 5",
        None,
        damaged(unfit),
    )
    .await;
    check_damage("UPDATE audit SET plugin = '' WHERE id = 5", None, damaged(unfit)).await;
    check_damage(
        "UPDATE audit SET hash = zeroblob(32) WHERE id = 5",
        None,
        damaged(unfit),
    )
    .await;
    check_damage(
        "UPDATE audit SET hash = x'00' WHERE id = 5",
        None,
        damaged("entry 5 of the audit"),
    )
    .await;
    check_damage(
        "UPDATE audit SET decision = 'maybe' WHERE id = 5",
        None,
        damaged("entry 5 of the audit"),
    )
    .await;
    check_damage(
        "UPDATE audit SET by_name = 'ada' WHERE id = 5",
        None,
        damaged("entry 5 of the audit"),
    )
    .await;
    check_damage(
        "DELETE FROM audit WHERE id = 5",
        None,
        damaged("entry 5 of the audit is damaged: it is missing; the next one found is 6"),
    )
    .await;
    check_damage(
        "DELETE FROM audit WHERE id = 1",
        None,
        damaged("entry 1 of the audit is damaged: it is missing; the next one found is 2"),
    )
    .await;
    // Closing the gap changes the numbers, which the hashes cover.
    check_damage(
        "DELETE FROM audit WHERE id = 5; UPDATE audit SET id = id - 1 WHERE id > 5",
        None,
        damaged("entry 5 of the audit is damaged: its hash"),
    )
    .await;
    check_damage(
        "UPDATE audit SET id = 99 WHERE id = 4; UPDATE audit SET id = 4 WHERE id = 5; UPDATE audit SET id = 5 WHERE id = 99",
        None,
        damaged("entry 4 of the audit is damaged: its hash"),
    )
    .await;
}

/// A chain can't tell by itself that its end is missing: for that its last hash must be kept elsewhere.
#[tokio::test]
async fn a_cut_tail_needs_the_last_hash() {
    let cut = "DELETE FROM audit WHERE id > 7";
    check_damage(cut, None, ("sound", "7")).await;
    let (gone, all_gone) = ("the chain ends at 7", "the chain ends at 0");
    let (directory, store) = directory_and_store();
    ten_entries(&store).await;
    let head = entries(&store)[9].hash;
    check_damage(cut, Some(7), ("sound", "7")).await;
    for (statement, end) in [(cut, gone), ("DELETE FROM audit", all_gone)] {
        sql(directory.path()).execute_batch(statement).unwrap();
        let error = store.verify_audit(Some(head)).unwrap_err();
        assert_eq!(error.code, "audit-cut-off");
        assert!(error.message.ends_with(end), "{}", error.message);
    }
    assert_eq!(store.verify_audit(None).unwrap(), None);
}

#[tokio::test]
async fn an_exported_chain_is_checked_without_the_table() {
    let store = Store::in_memory(options()).unwrap();
    ten_entries(&store).await;
    let lines: Vec<String> = entries(&store)
        .iter()
        .map(|record| serde_json::to_string(record).unwrap())
        .collect();
    let check = |lines: &[String], expected: Result<(u64, u64), &str>| {
        let mut check = AuditCheck::new(None);
        let read = |line: &String| check.take(&serde_json::from_str(line).unwrap());
        let taken = lines.iter().try_for_each(read);
        let found = taken.and_then(|()| check.finish()).map(|span| {
            let span = span.unwrap();
            (span.first, span.last)
        });
        assert_eq!(found.map_err(|error| error.message), expected.map_err(str::to_owned));
    };
    check(&lines, Ok((1, 10)));
    check(&lines[4..], Ok((5, 10)));
    let unfit = "its hash doesn't fit its content and the entry before it";
    let mut changed = lines.clone();
    changed[5] = changed[5].replace("example.org", "example.com");
    check(&changed, Err(&format!("entry 6 of the audit is damaged: {unfit}")));
    check(&changed[5..], Err(&format!("entry 6 of the audit is damaged: {unfit}")));
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    check(
        &swapped,
        Err("entry 3 of the audit is damaged: it is missing; the next one found is 4"),
    );
    // A chain of another beginning is no continuation of this one.
    let mut grafted = lines;
    let seed = "0".repeat(64);
    let before = entries(&store)[3].hash.to_string();
    grafted[4] = grafted[4].replace(&before, &seed);
    check(&grafted, Err(&format!("entry 5 of the audit is damaged: {unfit}")));
}

/// Several writers of one database, as two processes are, continue one chain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_write_one_chain() {
    let (directory, first) = directory_and_store();
    let second = open(directory.path());
    let write = |store: Store, name: &'static str| async move {
        let writer = begin(&store, name);
        let sink = store.audit_sink();
        for n in 0..40 {
            append_call(&writer, 't', &format!("e{n}")).await;
            sink(AuditEntry::of("secret.use", name));
            writer.flush().await.unwrap();
        }
        store.settle().await.unwrap();
    };
    tokio::join!(write(first.clone(), "a"), write(second.clone(), "b"));
    let span = first.verify_audit(None).unwrap().unwrap();
    assert_eq!((span.first, span.last), (1, 160));
    let found = |name: &str| {
        let of = AuditFilter {
            action: Some("secret".to_owned()),
            ..AuditFilter::default()
        };
        let entries = second.audit_entries(&of, usize::MAX).unwrap();
        entries.iter().filter(|record| record.entry.target == name).count()
    };
    assert_eq!((found("a"), found("b")), (40, 40));
}

fn asked(id: &str, tool: &str) -> EventBody {
    let call = json!({ "call_id": "c", "tool": tool, "arguments": {} });
    EventBody::Suspended(Box::new(Suspension {
        id: SuspensionId::parse(id).unwrap(),
        kind: SuspensionKind::Approval,
        effect: None,
        question: "may it?".to_owned(),
        call: Some(serde_json::from_value(call).unwrap()),
        schema: json!({}),
        expires_ms: u64::MAX,
        answered_by: SuspensionKind::Approval.answered_by(),
    }))
}

fn answered(id: &str, decision: &str, by: &str) -> EventBody {
    EventBody::Resumed {
        suspension: Some(SuspensionId::parse(id).unwrap()),
        answer: Some(json!({ "decision": decision })),
        by: Some(by.to_owned()),
    }
}

fn call(name: &str, refused: bool) -> EventBody {
    serde_json::from_value(
        json!({ "type": "tool.started", "effect": name, "ordinal": 1, "call_id": "c", "thread": "main",
        "name": name, "arguments": "{\"key\":\"hunter2\"}", "argument_digest": "44136fa3", "idempotency_key": "k",
        "idempotent": true, "refused": refused }),
    )
    .unwrap()
}

#[tokio::test]
async fn entries_follow_from_events() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    let started = EventBody::RunStarted {
        agent: "a".to_owned(),
        message: "hunter2".to_owned(),
        workspace: None,
        parent: None,
        setup: RunSetup::default(),
    };
    for body in [
        started,
        call_event('m', "m1"),
        asked("s-1", "files__write"),
        answered("s-1", "once", "ada"),
    ] {
        writer.append(&run("r"), body).await.unwrap();
    }
    let decided = [
        (call("files__write", false), DecidedBy::Person("ada".to_owned())),
        (
            call("shell__run", true),
            DecidedBy::Rule("consent.tools.shell__*".to_owned()),
        ),
        (call("files__read", false), DecidedBy::Default),
    ];
    for (body, by) in decided {
        writer.append_decided(&run("r"), body, by).await.unwrap();
    }
    for body in [
        asked("s-2", "files__write"),
        answered("s-2", "deny", "ada"),
        asked("s-3", "files__write"),
        answered("s-3", "once", DecidedBy::CONFIGURATION),
        call(&"x".repeat(5000), true),
        said("nothing of it"),
    ] {
        writer.append(&run("r"), body).await.unwrap();
    }
    writer.flush().await.unwrap();
    let long = format!("8 tool.call {} denied default", "x".repeat(512));
    assert_eq!(
        shown(&store),
        [
            "1 model.call m allowed default",
            "2 answer.approval files__write allowed person ada",
            "3 tool.call files__write allowed person ada",
            "4 tool.call shell__run denied rule consent.tools.shell__*",
            "5 tool.call files__read allowed default",
            "6 answer.approval files__write denied person ada",
            "7 answer.approval files__write allowed default",
            &long,
        ]
    );
    let all = entries(&store);
    assert!(all.iter().all(|record| record.entry.session == Some(session("a"))));
    assert_eq!(all[2].entry.plugin.as_deref(), Some("files"));
    assert_eq!(all[2].entry.digest.as_deref(), Some("44136fa3"));
    store.verify_audit(None).unwrap();
    // Arguments and messages are in the journal alone.
    let in_audit: i64 = sql(directory.path())
        .query_row("SELECT count(*) FROM audit WHERE target LIKE '%hunter2%'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(in_audit, 0);
}

#[tokio::test]
async fn approvals_are_told_with_who_gave_and_who_revoked_them() {
    let store = Store::in_memory(options()).unwrap();
    let place = ApprovalPlace::Workspace(WorkspaceId::parse("w-1").unwrap());
    let new = NewApproval {
        tool: "files__write".to_owned(),
        digest: "d1".to_owned(),
        authority: None,
        place,
        by: "ada".to_owned(),
    };
    store.approve(new).await.unwrap();
    store.revoke_approval(1, "bob").await.unwrap();
    assert_eq!(store.revoke_approval(1, "bob").await.unwrap_err().code, "no-approval");
    assert_eq!(
        shown(&store),
        [
            "1 approval.give files__write allowed person ada",
            "2 approval.revoke files__write allowed person bob"
        ]
    );
}

#[tokio::test]
async fn entries_are_found_by_what_they_are() {
    let store = Store::in_memory(options()).unwrap();
    for (action, plugin, in_session) in [
        ("tool.call", "p", "a"),
        ("tool.call", "q", "a"),
        ("toolbox", "p", "b"),
        ("leak", "p", "b"),
    ] {
        let entry = AuditEntry {
            plugin: Some(plugin.to_owned()),
            session: Some(session(in_session)),
            decision: AuditDecision::Redacted,
            ..AuditEntry::of(action, "x")
        };
        store.audit(entry).await.unwrap();
    }
    let check = |filter: AuditFilter, limit: usize, expected: &[u64]| {
        let found = store.audit_entries(&filter, limit).unwrap();
        let ids: Vec<u64> = found.iter().map(|record| record.id).collect();
        assert_eq!(ids, expected, "{filter:?} {limit}");
    };
    let all = AuditFilter::default;
    let text = |text: &str| Some(text.to_owned());
    check(all(), 10, &[1, 2, 3, 4]);
    check(all(), 2, &[3, 4]);
    check(all(), 0, &[]);
    check(
        AuditFilter {
            plugin: text("p"),
            ..all()
        },
        10,
        &[1, 3, 4],
    );
    check(
        AuditFilter {
            action: text("tool.call"),
            ..all()
        },
        10,
        &[1, 2],
    );
    check(
        AuditFilter {
            action: text("tool"),
            ..all()
        },
        10,
        &[1, 2],
    );
    check(
        AuditFilter {
            action: text("%"),
            ..all()
        },
        10,
        &[],
    );
    check(
        AuditFilter {
            session: Some(session("b")),
            ..all()
        },
        10,
        &[3, 4],
    );
    let since_ms = Some(entries(&store)[2].at_ms);
    check(AuditFilter { since_ms, ..all() }, 10, &[3, 4]);
    check(
        AuditFilter {
            since_ms,
            plugin: text("q"),
            ..all()
        },
        10,
        &[],
    );
}

/// What comes while there is no room is taken in all the same, and nobody is made to wait but who appends events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_entries_loses_none() {
    let (directory, store) = directory_and_store();
    let sink = store.audit_sink();
    let held = hold(directory.path());
    let flood = 60_000;
    for n in 0..flood {
        sink(AuditEntry::of("http.request", &format!("GET https://example.org/{n}")));
    }
    let writer = begin(&store, "a");
    let large = "x".repeat(4096);
    assert!(
        is_pending(writer.append(&run("r"), said(large.as_str()))),
        "there is room for more"
    );
    drop(held);
    writer.append(&run("r"), said("goes on")).await.unwrap();
    store.settle().await.unwrap();
    assert_eq!(store.verify_audit(None).unwrap().unwrap().last, flood);
}

/// What a store can't write any more is no reason to fail.
#[tokio::test]
async fn a_sink_outlives_its_store() {
    let store = Store::in_memory(options()).unwrap();
    let sink = store.audit_sink();
    sink(AuditEntry::of("leak", "x"));
    drop(store);
    sink(AuditEntry::of("leak", "y"));
}

#[test]
fn an_entry_of_another_version_is_none() {
    assert_eq!(AuditHash::parse("12").unwrap_err().code, "bad-hash");
    let written = json!({ "id": 1, "at_ms": 1, "action": "a", "target": "t", "decision": "sideways", "by": "default",
        "previous": "0".repeat(64), "hash": "0".repeat(64) });
    assert!(serde_json::from_value::<AuditRecord>(written).is_err());
}
