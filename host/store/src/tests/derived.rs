//! Rows that are derived from events, and lists of sessions.

use sandbar_protocol::{
    Error, ErrorKind, MemoryOp, MemoryOutcome, MemoryOutput, Message, ModelReply, Role, RunResult, RunSetup,
    StopReason, ToolOutcome, ToolOutput, Usage, WorkspaceId,
};

use crate::{EffectKind, EffectOutcome, NewWorkspace, WorkspaceKind};

use super::*;

fn started(message: &str) -> EventBody {
    EventBody::RunStarted {
        agent: "writer".to_owned(),
        message: message.to_owned(),
        workspace: None,
        parent: None,
        setup: RunSetup::default(),
    }
}

fn finished(name: &str, stop_reason: StopReason) -> EventBody {
    EventBody::RunFinished(RunResult {
        session: session("a"),
        run: run(name),
        stop_reason,
        finish_reason: None,
        text: "done".to_owned(),
        error: None,
        steps: 1,
        tool_calls: 1,
        model_calls: 1,
        usage: Usage::default(),
        wall_ms: 5,
    })
}

fn model_started(effect: &str) -> EventBody {
    EventBody::ModelStarted {
        effect: effect.to_owned(),
        ordinal: 1,
        attempt: 1,
        model: "scripted".to_owned(),
        thread: "main".to_owned(),
        appended: Vec::new(),
    }
}

fn model_finished(effect: &str) -> EventBody {
    EventBody::ModelFinished {
        effect: effect.to_owned(),
        thread: "main".to_owned(),
        reply: ModelReply {
            message: Message::new(Role::Assistant, "hello"),
            finish_reason: "stop".to_owned(),
            usage: Usage::default(),
        },
        ms: 3,
    }
}

fn model_discarded(effect: &str) -> EventBody {
    EventBody::ModelDiscarded {
        effect: effect.to_owned(),
        error: Error::new(ErrorKind::Model, "overloaded", "the provider is overloaded"),
        ms: 3,
    }
}

fn tool_started(effect: &str) -> EventBody {
    EventBody::ToolStarted {
        effect: effect.to_owned(),
        parent: None,
        ordinal: 2,
        attempt: 1,
        call_id: "c1".to_owned(),
        thread: "main".to_owned(),
        name: "files__write".to_owned(),
        arguments: "{}".to_owned(),
        argument_digest: "44136fa3".to_owned(),
        idempotency_key: format!("r1-{effect}"),
        idempotent: false,
        refused: false,
    }
}

fn tool_finished(effect: &str, outcome: ToolOutcome) -> EventBody {
    EventBody::ToolFinished {
        effect: effect.to_owned(),
        call_id: "c1".to_owned(),
        thread: "main".to_owned(),
        name: "files__write".to_owned(),
        outcome,
        denials: Vec::new(),
        ms: 1,
    }
}

fn memory_started(effect: &str) -> EventBody {
    EventBody::MemoryStarted {
        effect: effect.to_owned(),
        ordinal: 2,
        attempt: 1,
        plugin: "notes".to_owned(),
        op: MemoryOp::Commit,
        input_head: "{}".to_owned(),
        input_digest: "44136fa3".to_owned(),
        idempotent: false,
    }
}

fn memory_finished(effect: &str, outcome: MemoryOutcome) -> EventBody {
    EventBody::MemoryFinished {
        effect: effect.to_owned(),
        plugin: "notes".to_owned(),
        op: MemoryOp::Commit,
        outcome,
        ms: 1,
    }
}

async fn write(writer: &SessionWriter, name: &str, bodies: Vec<EventBody>) {
    for body in bodies {
        writer.append(&run(name), body).await.unwrap();
    }
    writer.flush().await.unwrap();
}

#[tokio::test]
async fn a_session_and_its_runs_are_summed_up() {
    let store = Store::in_memory(options()).unwrap();
    let workspace = NewWorkspace {
        id: WorkspaceId::parse("w").unwrap(),
        kind: WorkspaceKind::Own,
        path: "/data/w".into(),
    };
    let writer = store.begin_session(new_session("a"), Some(workspace.clone())).unwrap();
    write(
        &writer,
        "r1",
        vec![started("first\nmessage"), finished("r1", StopReason::MaxSteps)],
    )
    .await;
    write(&writer, "r2", vec![started("second")]).await;

    let summary = store.session(&session("a")).unwrap().unwrap();
    assert_eq!(summary.title, "first message");
    assert_eq!(
        (summary.agent.as_str(), summary.workspace),
        ("default", Some(workspace.id))
    );
    assert_eq!((summary.events, summary.runs), (3, 2));
    assert_eq!((summary.last_run, summary.last_stop_reason), (Some(run("r2")), None));

    write(&writer, "r2", vec![finished("r2", StopReason::Finished)]).await;
    let summary = store.session(&session("a")).unwrap().unwrap();
    assert_eq!(summary.last_stop_reason, Some(StopReason::Finished));
    let runs = store.runs(&session("a")).unwrap();
    let parts: Vec<_> = runs
        .iter()
        .map(|run| (run.id.as_str(), run.stop_reason, run.first_sequence, run.last_sequence))
        .collect();
    assert_eq!(
        parts,
        [
            ("r1", Some(StopReason::MaxSteps), 1, Some(2)),
            ("r2", Some(StopReason::Finished), 3, Some(4)),
        ]
    );
    assert!(
        runs.iter()
            .all(|run| run.agent == "writer" && run.finished_ms > Some(run.started_ms))
    );
    assert!(store.session(&session("b")).unwrap().is_none());

    let origin = store.session_origin(&session("a")).unwrap().unwrap();
    assert_eq!((origin.id, origin.agent), (summary.id, summary.agent));
    assert!(origin.workspace.is_some());
    assert_eq!(store.session_origin(&session("b")).unwrap(), None);
}

#[tokio::test]
async fn the_first_message_that_says_something_names_a_session() {
    for flushes in 0..4_u32 {
        let store = Store::in_memory(options()).unwrap();
        let writer = begin(&store, "a");
        for (number, message) in [" \n", "sum it up", "and now?"].into_iter().enumerate() {
            writer.append(&run("r1"), started(message)).await.unwrap();
            if flushes >> number & 1 == 1 {
                writer.flush().await.unwrap();
            }
        }
        writer.flush().await.unwrap();
        let title = store.session(&session("a")).unwrap().unwrap().title;
        assert_eq!(title, "sum it up", "flushed as in {flushes:b}");
    }
}

#[tokio::test]
async fn a_run_belongs_to_one_session() {
    let store = Store::in_memory(options()).unwrap();
    let (first, second) = (begin(&store, "a"), begin(&store, "b"));
    write(&first, "r1", vec![started("hello")]).await;
    second.append(&run("r1"), started("mine")).await.unwrap();
    assert_eq!(second.flush().await.unwrap_err().code, "run-exists");
}

/// What a sequence of events says of the effect `e`, however it falls into commits.
async fn check_effect(bodies: Vec<EventBody>, intent: u64, outcome: Option<(EffectOutcome, u64)>) {
    for flushes in 0..1_u32 << (bodies.len() - 1) {
        let store = Store::in_memory(options()).unwrap();
        let writer = begin(&store, "a");
        for (number, body) in bodies.iter().enumerate() {
            writer.append(&run("r1"), body.clone()).await.unwrap();
            if flushes >> number & 1 == 1 {
                writer.flush().await.unwrap();
            }
        }
        writer.flush().await.unwrap();
        check_row(&store, intent, outcome, flushes);
    }
}

fn check_row(store: &Store, intent: u64, outcome: Option<(EffectOutcome, u64)>, flushes: u32) {
    let effects = store.effects(&run("r1")).unwrap();
    assert_eq!(effects.len(), 1);
    assert_eq!(
        (effects[0].id.as_str(), effects[0].intent_sequence, effects[0].outcome),
        ("e", intent, outcome),
        "flushed as in {flushes:b}"
    );
    match effects[0].kind {
        EffectKind::Model => {
            assert_eq!((effects[0].name.as_str(), effects[0].idempotent), ("scripted", true));
        }
        EffectKind::Delegate => {
            assert_eq!((effects[0].name.as_str(), effects[0].idempotent), ("helper", true));
            assert_eq!(effects[0].idempotency_key.as_deref(), Some("r-below"));
        }
        EffectKind::Memory => {
            assert_eq!((effects[0].name.as_str(), effects[0].idempotent), ("notes", false));
            assert_eq!(effects[0].argument_digest.as_deref(), Some("44136fa3"));
        }
        EffectKind::Tool => {
            assert_eq!(
                (effects[0].name.as_str(), effects[0].idempotent),
                ("files__write", false)
            );
            assert_eq!(effects[0].idempotency_key.as_deref(), Some("r1-e"));
            assert_eq!(effects[0].argument_digest.as_deref(), Some("44136fa3"));
        }
    }
}

#[tokio::test]
async fn an_effect_is_its_intent_and_its_outcome() {
    use EffectOutcome::{Discarded, Failed, Finished};
    let output = || tool_finished("e", ToolOutcome::Output(ToolOutput::default()));
    let error = || {
        tool_finished(
            "e",
            ToolOutcome::Error(Error::new(ErrorKind::Plugin, "tool-failed", "no")),
        )
    };
    check_effect(vec![tool_started("e")], 1, None).await;
    check_effect(vec![tool_started("e"), output()], 1, Some((Finished, 2))).await;
    check_effect(vec![tool_started("e"), error()], 1, Some((Failed, 2))).await;
    check_effect(vec![tool_started("e"), tool_started("e")], 2, None).await;
    check_effect(vec![memory_started("e")], 1, None).await;
    let remembered = memory_finished("e", MemoryOutcome::Output(MemoryOutput::default()));
    check_effect(vec![memory_started("e"), remembered], 1, Some((Finished, 2))).await;
    let forgotten = memory_finished(
        "e",
        MemoryOutcome::Error(Error::new(ErrorKind::Plugin, "memory-failed", "no")),
    );
    check_effect(vec![memory_started("e"), forgotten], 1, Some((Failed, 2))).await;
    check_effect(vec![model_started("e")], 1, None).await;
    check_effect(vec![model_started("e"), model_discarded("e")], 1, Some((Discarded, 2))).await;
    let twice = vec![
        model_started("e"),
        model_discarded("e"),
        model_started("e"),
        model_finished("e"),
    ];
    check_effect(twice, 3, Some((Finished, 4))).await;
    // The first recorded answer wins.
    let again = vec![
        model_started("e"),
        model_finished("e"),
        model_started("e"),
        model_finished("e"),
    ];
    check_effect(again, 1, Some((Finished, 2))).await;
}

#[tokio::test]
async fn sessions_are_listed_newest_first() {
    let store = Store::in_memory(options()).unwrap();
    for name in ["a", "b", "c", "d"] {
        store.create_session(new_session(name)).await.unwrap();
    }
    let writer = store.write_session(&session("b")).await.unwrap();
    write(&writer, "r1", vec![started("hello")]).await;

    let check = |limit: usize, before: Option<&str>, expected: &str| {
        let found = store.sessions(limit, before.map(session).as_ref()).unwrap();
        let names: Vec<&str> = found.iter().map(|found| found.id.as_str()).collect();
        assert_eq!(names.join(" "), expected, "{limit} {before:?}");
    };
    check(10, None, "b d c a");
    check(2, None, "b d");
    check(2, Some("d"), "c a");
    check(2, Some("a"), "");
    assert_eq!(
        store.sessions(1, Some(&session("z"))).unwrap_err().code,
        "session-not-found"
    );
}

/// Which run works for which, and the one that has not ended.
#[tokio::test]
async fn delegated_runs_are_found_from_above_and_below() {
    let store = Store::in_memory(options()).unwrap();
    let (above, below) = (begin(&store, "a"), begin(&store, "b"));
    let child = json!({ "session": "b", "run": "r-below" });
    let handed_over = |child: &serde_json::Value| {
        let body = json!({ "type": "delegate.started", "effect": "e", "ordinal": 1, "agent": "helper", "task": "t", "child": child });
        serde_json::from_value::<EventBody>(body).unwrap()
    };
    write(&above, "r1", vec![started("go")]).await;
    assert_eq!(store.open_child(&run("r1")).unwrap(), None);
    write(&above, "r1", vec![handed_over(&child)]).await;
    // Its intent is there, and nothing else.
    assert_eq!(store.open_child(&run("r1")).unwrap(), None);
    let parent = json!({ "session": "a", "run": "r1", "effect": "e", "depth": 1 });
    let begins =
        json!({ "type": "run.started", "agent": "helper", "message": "t", "workspace": null, "parent": parent });
    write(&below, "r-below", vec![serde_json::from_value(begins).unwrap()]).await;
    let found = store.open_child(&run("r1")).unwrap().unwrap();
    assert_eq!((found.id, found.parent), (run("r-below"), Some(run("r1"))));
    let by = |name: &str| store.session(&session(name)).unwrap().unwrap().delegated_by;
    assert_eq!((by("a"), by("b")), (None, Some(run("r1"))));
    let finished = json!({ "type": "delegate.finished", "effect": "e", "agent": "helper", "text": "done", "tool_calls": 0,
        "model_calls": 1, "usage": {}, "ms": 1 });
    write(&above, "r1", vec![serde_json::from_value(finished).unwrap()]).await;
    assert_eq!(store.open_child(&run("r1")).unwrap(), None);
    check_row(&store, 2, Some((EffectOutcome::Finished, 3)), 0);
}
