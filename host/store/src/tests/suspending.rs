//! Questions, their answers, and what was approved.

use sandbar_protocol::{Answer, Authority, RunSetup, Suspension, SuspensionId, SuspensionKind, WorkspaceId};

use crate::{ApprovalPlace, Inbox, NewApproval, SuspensionState, WantedApproval};

use super::*;

fn question(id: &str, expires_ms: u64) -> Suspension {
    Suspension {
        id: SuspensionId::parse(id).unwrap(),
        kind: SuspensionKind::Approval,
        effect: Some("r.1".to_owned()),
        question: "may it?".to_owned(),
        call: None,
        schema: SuspensionKind::Approval.schema(),
        expires_ms,
        answered_by: SuspensionKind::Approval.answered_by(),
    }
}

fn answer(decision: &str) -> Answer {
    Answer {
        value: json!({ "decision": decision }),
        by: "ada".to_owned(),
    }
}

/// A run that waits for an answer, its writer gone.
async fn waiting(store: &Store, name: &str, expires_ms: u64) -> SuspensionId {
    let writer = begin(store, name);
    let asked = question(&format!("q-{name}"), expires_ms);
    let run = run(name);
    writer
        .append(
            &run,
            EventBody::RunStarted {
                agent: "a".to_owned(),
                message: "do it".to_owned(),
                workspace: None,
                parent: None,
                setup: RunSetup::default(),
            },
        )
        .await
        .unwrap();
    writer
        .append(&run, EventBody::Suspended(Box::new(asked.clone())))
        .await
        .unwrap();
    writer.close().await.unwrap();
    asked.id
}

#[tokio::test]
async fn the_first_answer_counts_and_the_run_goes_on_with_it() {
    let (directory, store) = directory_and_store();
    let id = waiting(&store, "a", u64::MAX).await;
    // Another process answers.
    let other = open(directory.path());
    assert_eq!(
        other.open_suspensions().unwrap()[0].suspension,
        question("q-a", u64::MAX)
    );
    other.answer(&id, answer("once")).await.unwrap();
    let error = store.answer(&id, answer("deny")).await.unwrap_err();
    assert_eq!(error.code, "already-answered");
    assert!(error.message.contains("`ada`"), "{error}");
    let expected = Inbox {
        answered: vec![id.clone()],
        cancelled: Vec::new(),
    };
    assert_eq!(store.inbox().unwrap(), expected);
    assert_eq!(store.open_suspensions().unwrap(), []);

    let writer = store.write_session(&session("a")).await.unwrap();
    let resumed = EventBody::Resumed {
        suspension: Some(id.clone()),
        answer: Some(json!({ "decision": "once" })),
        by: Some("ada".to_owned()),
    };
    writer.append(&run("a"), resumed).await.unwrap();
    writer.flush().await.unwrap();
    let found = store.suspension(&id).unwrap().unwrap();
    assert_eq!(
        (found.state, found.answer),
        (SuspensionState::Resumed, Some(answer("once")))
    );
    assert_eq!(store.inbox().unwrap(), Inbox::default());
}

#[tokio::test]
async fn answers_that_come_to_nothing() {
    let store = Store::in_memory(options()).unwrap();
    let check = async |id: &SuspensionId, expected: &str| {
        let error = store.answer(id, answer("once")).await.unwrap_err();
        assert_eq!(error.code, expected);
        assert!(error.hint.is_some(), "{error}");
    };
    check(&SuspensionId::parse("q-none").unwrap(), "suspension-not-found").await;
    // The clock ticks at every look.
    let late = waiting(&store, "late", 1).await;
    check(&late, "suspension-expired").await;
    let over = waiting(&store, "over", u64::MAX).await;
    let writer = store.write_session(&session("over")).await.unwrap();
    let finished = json!({ "type": "run.finished", "result": { "session": "over", "run": "over", "stop_reason": "cancelled",
        "text": "", "steps": 1, "tool_calls": 0, "model_calls": 0, "usage": {}, "wall_ms": 1 } });
    writer
        .append(&run("over"), serde_json::from_value(finished).unwrap())
        .await
        .unwrap();
    writer.flush().await.unwrap();
    assert_eq!(store.suspension(&over).unwrap().unwrap().state, SuspensionState::Closed);
    check(&over, "run-finished").await;
}

#[tokio::test]
async fn a_run_is_asked_to_end() {
    let store = Store::in_memory(options()).unwrap();
    waiting(&store, "a", u64::MAX).await;
    assert_eq!(store.ask_to_cancel(&run("b")).await.unwrap_err().code, "run-not-found");
    store.ask_to_cancel(&run("a")).await.unwrap();
    assert_eq!(store.inbox().unwrap().cancelled, [run("a")]);
    let found = store.unfinished_run(&session("a")).unwrap().unwrap();
    assert!(found.cancel_asked);
    assert_eq!(store.unfinished_runs().unwrap(), [found]);
}

#[tokio::test]
async fn approvals_hold_for_one_component_in_one_place() {
    let store = Store::in_memory(options()).unwrap();
    let here = WorkspaceId::parse("w-1").unwrap();
    let approval = |place: ApprovalPlace| NewApproval {
        tool: "files__write".to_owned(),
        digest: "d1".to_owned(),
        authority: None,
        place,
        by: "ada".to_owned(),
    };
    store
        .approve(approval(ApprovalPlace::Session(session("a"))))
        .await
        .unwrap();
    store
        .approve(approval(ApprovalPlace::Workspace(here.clone())))
        .await
        .unwrap();
    store
        .approve(approval(ApprovalPlace::Workspace(here.clone())))
        .await
        .unwrap();
    let check = |tool: &str, digest: &str, in_session: &str, workspace: Option<&WorkspaceId>, expected: bool| {
        let wanted = WantedApproval {
            tool,
            digest,
            authority: None,
            session: &session(in_session),
            workspace,
        };
        let found = store.approved_by(&wanted).unwrap();
        let expected = expected.then(|| "ada".to_owned());
        assert_eq!(found, expected, "{tool} {digest} {in_session}");
    };
    check("files__write", "d1", "a", None, true);
    check("files__write", "d1", "b", None, false);
    check("files__write", "d1", "b", Some(&here), true);
    check("files__write", "d2", "a", Some(&here), false);
    check("files__edit", "d1", "a", Some(&here), false);
    let listed = store.approvals().unwrap();
    assert_eq!(listed.len(), 2);
    store.revoke_approval(listed[1].id, "ada").await.unwrap();
    check("files__write", "d1", "b", Some(&here), false);
    assert_eq!(
        store.revoke_approval(listed[1].id, "ada").await.unwrap_err().code,
        "no-approval"
    );
}

#[tokio::test]
async fn approvals_hold_for_what_was_told_and_for_less() {
    let store = Store::in_memory(options()).unwrap();
    let can = |secrets: &[&str]| {
        let secrets = secrets.iter().map(|name| (*name).to_owned()).collect();
        let nothing = Authority::default();
        Some(Authority { secrets, ..nothing })
    };
    let approve = async |by: &str, authority: Option<Authority>| {
        let new = NewApproval {
            tool: "mail__send".to_owned(),
            digest: "d1".to_owned(),
            authority,
            place: ApprovalPlace::Session(session("a")),
            by: by.to_owned(),
        };
        store.approve(new).await.unwrap();
    };
    let check = |authority: Option<Authority>, expected: Option<&str>| {
        let wanted = WantedApproval {
            tool: "mail__send",
            digest: "d1",
            authority: authority.as_ref(),
            session: &session("a"),
            workspace: None,
        };
        assert_eq!(
            store.approved_by(&wanted).unwrap().as_deref(),
            expected,
            "{authority:?}"
        );
    };
    approve("ada", can(&["one", "two"])).await;
    check(can(&["two", "one"]), Some("ada"));
    check(can(&["two"]), Some("ada"));
    check(can(&["two", "three"]), None);
    check(None, None);
    // The newer word takes the place of the older one, so that one number revokes all.
    approve("bob", can(&["three"])).await;
    check(can(&["three"]), Some("bob"));
    check(can(&["two"]), None);
    let [approval] = store.approvals().unwrap().try_into().unwrap();
    assert_eq!((approval.authority, approval.by.as_str()), (can(&["three"]), "bob"));
    store.revoke_approval(approval.id, "ada").await.unwrap();
    check(can(&[]), None);
}

/// What a person was told who gave an approval to an older version isn't known.
#[tokio::test]
async fn approvals_of_an_older_version_ask_again() {
    let (directory, store) = directory_and_store();
    drop(store);
    sql(directory.path())
        .execute_batch(
            "ALTER TABLE approvals DROP COLUMN authority;
            INSERT INTO approvals (tool, digest, kind, place, decider, approved_ms) VALUES ('a__b', 'd', 'session', 'a', 'ada', 1);
            PRAGMA user_version = 4",
        )
        .unwrap();
    assert_eq!(open(directory.path()).approvals().unwrap(), []);
}

/// A database of the first version gets what came later, and keeps what it has.
#[tokio::test]
async fn an_older_database_is_brought_up_to_date() {
    let (directory, store) = directory_and_store();
    waiting(&store, "a", u64::MAX).await;
    drop(store);
    sql(directory.path())
        .execute_batch(
            "DROP TABLE suspensions; DROP TABLE approvals; DROP TABLE key_values; DROP TABLE key_value_spaces;
            DROP TABLE audit; DROP TABLE plugin_health;
            DROP INDEX runs_unfinished; ALTER TABLE runs DROP COLUMN cancel_ms;
            PRAGMA user_version = 1",
        )
        .unwrap();
    let store = open(directory.path());
    assert_eq!(store.unfinished_run(&session("a")).unwrap().unwrap().id, run("a"));
    assert_eq!(store.open_suspensions().unwrap(), []);
    waiting(&store, "b", u64::MAX).await;
    assert_eq!(store.open_suspensions().unwrap().len(), 1);
}
