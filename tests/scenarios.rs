//! A case is a directory in `scenarios/`: `sandbar.toml`, `replies.toml`, `request.txt` (turns are divided by `---`), `answers.txt`
//! (one in JSON a line, for what its runs wait for), files of the workspace in `work/`, and in `events.snap` what must happen.
//!
//! Each recorded run is replayed at the end: its pattern must decide what it decided.

use std::collections::BTreeSet;
use std::path::Path;

use sandbar::Runtime;
use sandbar::protocol::{Event, EventBody, RunRequest, SessionId, StopReason};

use crate::support::built;
use crate::support::person::go_on;
use crate::support::ran::{Ran, line};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario() {
    let root = built::sources().join("scenarios");
    let mut cases: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() > 10, "{cases:?}");
    let mut emitted = BTreeSet::new();
    for case in cases {
        let happened = play(&case, &mut emitted).await;
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(&case);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_description("what happens, an event a line");
        settings.bind(|| insta::assert_snapshot!("events", happened));
    }
    let declared = EventBody::NAMES.iter().map(|name| (*name).to_owned());
    assert_eq!(
        emitted,
        declared.collect(),
        "every kind of event happens in a scenario, and no other does"
    );
}

/// What happens, an event a line; the kinds of events that do are added to `emitted`.
async fn play(case: &Path, emitted: &mut BTreeSet<String>) -> String {
    let read = |name: &str| {
        std::fs::read_to_string(case.join(name)).unwrap_or_else(|error| panic!("{case:?} {name}: {error}"))
    };
    let mut world = World::new().script(read("replies.toml"));
    crate::support::copy(&case.join("work"), &world.path("work"));
    let config = sandbar::Config::from_toml(&read("sandbar.toml"), world.path("").as_path()).unwrap();
    for agent in config.agents.values() {
        for plugin in agent.plugins.iter().chain([&agent.pattern]) {
            if !["files", "react"].contains(&plugin.as_str()) {
                world = world.guest(plugin);
            }
        }
    }
    let runtime = sandbar::Runtime::open_with(config, world.options()).await.unwrap();
    let answers = std::fs::read_to_string(case.join("answers.txt")).unwrap_or_default();
    let mut answers = answers.lines().map(|line| serde_json::from_str(line).unwrap());
    let (mut lines, mut session, mut events) = (Vec::new(), None, 0);
    for turn in read("request.txt").split("---\n") {
        let request = RunRequest {
            session: session.clone(),
            ..RunRequest::new(turn.trim())
        };
        let mut ran = Ran::read(runtime.run(request).await.unwrap()).await;
        loop {
            assert_gapless(&ran, events);
            events += ran.events().count() as u64;
            emitted.extend(ran.events().map(|event| event.body.name().to_owned()));
            lines.extend(
                ordered(&ran)
                    .into_iter()
                    .map(|line| line.replace(&world.path("").display().to_string(), "")),
            );
            if ran.result.stop_reason != StopReason::Suspended {
                break;
            }
            let asked = runtime.store().open_suspensions().unwrap().remove(0).suspension.id;
            let answer = answers
                .next()
                .unwrap_or_else(|| panic!("{case:?} has no answer to {asked}"));
            ran = go_on(&runtime, &asked, &answer).await;
        }
        session = Some(ran.session);
    }
    assert_eq!(answers.next(), None, "{case:?}: nobody asked for it");
    replay_all(&runtime, &session.expect("a case has a turn")).await;
    runtime.close().await;
    lines.join("\n")
}

async fn replay_all(runtime: &Runtime, session: &SessionId) {
    let store = runtime.store();
    let events = store.events(session, 0, 10_000).unwrap();
    for run in store.runs(session).unwrap() {
        let replay = runtime.replay(&run.id).await.unwrap();
        assert!(replay.agrees(), "{:#?}", replay.steps);
        let is_step = |event: &&Event| event.run == run.id && matches!(event.body, EventBody::StepDecided { .. });
        assert_eq!(
            replay.steps.len(),
            events.iter().filter(is_step).count(),
            "every step is replayed"
        );
    }
    assert_eq!(
        store.events(session, 0, 10_000).unwrap(),
        events,
        "a replay writes nothing"
    );
}

fn assert_gapless(ran: &Ran, before: u64) {
    let sequences: Vec<u64> = ran.events().map(|event| event.sequence).collect();
    assert_eq!(
        sequences,
        (before + 1..=before + sequences.len() as u64).collect::<Vec<_>>()
    );
}

/// Calls that ran beside each other are told in the order in which they were asked for, since they end in any.
fn ordered(ran: &Ran) -> Vec<String> {
    let call = |event: &Event| match &event.body {
        EventBody::ToolStarted { call_id, .. } | EventBody::ToolFinished { call_id, .. } => Some(call_id.clone()),
        _ => None,
    };
    let mut events: Vec<_> = ran.events().map(|event| (call(event), line(event))).collect();
    for calls in events.chunk_by_mut(|one, other| one.0.is_some() == other.0.is_some()) {
        if calls[0].0.is_some() {
            calls.sort_by(|one, other| one.0.cmp(&other.0));
        }
    }
    events.into_iter().map(|(_, line)| line).collect()
}
