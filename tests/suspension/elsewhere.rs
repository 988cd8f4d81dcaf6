//! Answers from elsewhere: from another runtime on the same data directory, at the wrong moment, and many at once.

use std::sync::{Arc, Mutex};

use sandbar::protocol::{EventBody, RunId, StopReason, StreamItem, SuspensionId};
use sandbar::{Answered, Attended, Runtime};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{RENT, open_question, paying, read_in};
use crate::support::desk::Desk;
use crate::support::person::{Person, answer, go_on, said};
use crate::support::ran::Ran;
use crate::support::script::asks_once;
use crate::support::world::{World, request_in};

/// How many runs are answered in the moment in which they leave.
const RACES: usize = 200;

/// How many runs are answered at once.
const MANY: usize = 1000;

/// For the probe: to ask the model, to make the call that it asks for, and to tell it.
const PAYS: &str = "model\ncalls\nmodel";

/// What `PAYS` asks for. Its pattern may take a while for a step: many run at once.
fn paying_many(desk: &Desk) -> World {
    World::new()
        .guest("pattern_probe")
        .pattern("pattern_probe")
        .desk(desk)
        .script(asks_once("desk__pay", RENT))
}

/// Reads a run until it asks something.
async fn until_asked(stream: &mut sandbar::RunStream) -> SuspensionId {
    loop {
        match stream.next().await.expect("it asks before it ends").unwrap() {
            StreamItem::Event(event) => {
                if let EventBody::Suspended(asked) = &event.body {
                    return asked.id.clone();
                }
            }
            StreamItem::Delta(_) => {}
        }
    }
}

/// The one who has the run asks somebody, and another process brings the answer: it goes on where it is, and the question is taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_from_elsewhere_reaches_who_has_the_run() {
    let desk = Desk::new();
    let world = paying(&desk);
    let (here, elsewhere) = (world.open().await, world.open().await);
    let (person, taken_back) = (Person::default(), Arc::new(Mutex::new(0)));
    let attended = person.ponders(&taken_back);
    let mut stream = here.run_attended(request_in("talk", "go"), attended).await.unwrap();
    let asked = until_asked(&mut stream).await;
    person.is_asked().await;
    let once = json!({ "decision": "once" });
    let left = answer(&elsewhere, &asked, &once).await.unwrap();
    let Answered::Left { holder } = left else {
        panic!("{left:?}")
    };
    assert_eq!(holder, Some(std::process::id().to_string()));
    let ran = Ran::collect(stream).await;
    assert_eq!(ran.lines()[0], "resumed {\"decision\":\"once\"} by ada");
    assert_eq!(
        (ran.result.text.as_str(), desk.calls()),
        ("done", vec!["pay rent".to_owned()])
    );
    assert_eq!((person.asked().len(), *taken_back.lock().unwrap()), (1, 1));
    assert_eq!(
        answer(&elsewhere, &asked, &once).await.unwrap_err().code,
        "already-answered"
    );
    here.close().await;
    elsewhere.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_run_that_nobody_has_continues_it_where_it_was_given() {
    let desk = Desk::new();
    let world = paying(&desk);
    let (here, elsewhere) = (world.open().await, world.open().await);
    let waits = read_in(&here, "talk", Attended::Nobody).await;
    let asked = open_question(&elsewhere).suspension.id;
    let ran = go_on(&elsewhere, &asked, &json!({ "decision": "once" })).await;
    assert_eq!((ran.result.run, ran.result.text.as_str()), (waits.result.run, "done"));
    elsewhere.close().await;
    // What this runtime remembers of the session is older than the journal.
    let next = read_in(&here, "talk", Attended::Allowing).await;
    assert_eq!((next.result.text.as_str(), desk.calls().len()), ("done", 2));
    here.close().await;
}

/// The answer comes while the run is just leaving: whoever has it then, it ends.
async fn race(here: &Runtime, answering: &Runtime) {
    let mut runs = JoinSet::new();
    for number in 0..RACES {
        let (here, answering) = (here.clone(), answering.clone());
        runs.spawn(async move {
            let mut stream = here.run(request_in(&format!("s-{number}"), PAYS)).await.unwrap();
            let asked = until_asked(&mut stream).await;
            let run = stream.run().clone();
            if let Answered::Resumed(stream) = answer(&answering, &asked, &json!({ "decision": "once" }))
                .await
                .unwrap()
            {
                stream.result().await.unwrap();
            }
            run
        });
    }
    let runs = runs.join_all().await;
    here.close().await;
    answering.close().await;
    let unfinished: Vec<RunId> = runs
        .iter()
        .filter(|run| here.store().run(run).unwrap().stop_reason != Some(StopReason::Finished))
        .cloned()
        .collect();
    assert_eq!(unfinished, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_answered_while_it_leaves() {
    let desk = Desk::new();
    let world = paying_many(&desk);
    let runtime = world.open().await;
    race(&runtime, &runtime).await;
    assert_eq!(desk.calls().len(), RACES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_answered_from_elsewhere_while_it_leaves() {
    let desk = Desk::new();
    let world = paying_many(&desk);
    let (here, elsewhere) = (world.open().await, world.open().await);
    race(&here, &elsewhere).await;
    assert_eq!(desk.calls().len(), RACES);
}

/// Both want to go on with the same runs: each run has one end, and its call is made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_continued_by_one_of_two() {
    let desk = Desk::new();
    let world = paying_many(&desk);
    let (here, elsewhere) = (world.open().await, world.open().await);
    let mut waiting = JoinSet::new();
    for number in 0..RACES {
        let stream = here.run(request_in(&format!("s-{number}"), PAYS)).await.unwrap();
        waiting.spawn(stream.result());
    }
    waiting.join_all().await;
    here.close().await;
    let open = here.store().open_suspensions().unwrap();
    for open in &open {
        let once = said(&json!({ "decision": "once" }));
        here.store().answer(&open.suspension.id, once).await.unwrap();
    }
    let mut resumed = JoinSet::new();
    for run in open.iter().map(|open| &open.run) {
        for runtime in [&here, &elsewhere] {
            let (runtime, run) = (runtime.clone(), run.clone());
            resumed.spawn(async move {
                match runtime.resume(&run, Attended::Nobody).await {
                    Ok(stream) => assert_eq!(stream.result().await.unwrap().stop_reason, StopReason::Finished),
                    Err(error) => assert!(
                        ["session-busy", "run-finished"].contains(&error.code.as_str()),
                        "{error}"
                    ),
                }
            });
        }
    }
    resumed.join_all().await;
    for open in &open {
        let events = here.store().events(&open.session, 0, 100).unwrap();
        let ends = events.iter().filter(|event| event.body.name() == "run.finished");
        assert_eq!(ends.count(), 1, "{:?}", open.session);
    }
    assert_eq!(desk.calls().len(), RACES);
    here.close().await;
    elsewhere.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_runs_are_answered_at_once() {
    let desk = Desk::new();
    let world = paying_many(&desk);
    let runtime = world.open().await;
    let mut waiting = JoinSet::new();
    for number in 0..MANY {
        let stream = runtime.run(request_in(&format!("s-{number}"), PAYS)).await.unwrap();
        waiting.spawn(async move { stream.result().await.unwrap().stop_reason });
    }
    assert!(
        waiting
            .join_all()
            .await
            .iter()
            .all(|reason| *reason == StopReason::Suspended)
    );
    runtime.close().await;
    let open = runtime.store().open_suspensions().unwrap();
    assert_eq!((open.len(), desk.calls().len()), (MANY, 0));

    let mut answered = JoinSet::new();
    let mut starts = Vec::new();
    for open in open {
        let (runtime, (start, started)) = (runtime.clone(), oneshot::channel::<()>());
        starts.push(start);
        answered.spawn(async move {
            let _ = started.await;
            let ran = go_on(&runtime, &open.suspension.id, &json!({ "decision": "once" })).await;
            assert_eq!(
                (&ran.result.run, ran.result.text.as_str()),
                (&open.run, "done"),
                "{:#?}",
                ran.lines()
            );
        });
    }
    drop(starts);
    answered.join_all().await;
    assert_eq!(desk.calls().len(), MANY);
    assert!(runtime.store().unfinished_runs().unwrap().is_empty());
    runtime.close().await;
}
