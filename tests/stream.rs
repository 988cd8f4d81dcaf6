//! Readers that are cut off and come back: events once each and without a gap, previews at their place, also from another process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use sandbar::protocol::{Delta, DeltaKind, Event, EventBody, RunRequest, SessionId, StreamItem};
use sandbar::store::Store;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::program::{run, sandbar};
use crate::support::ran::Ran;
use crate::support::script::asks;
use crate::support::world::{World, request_in};

const RUNS: u64 = 200;

/// How many readers of each run are cut off.
const READERS: u64 = 3;

const ANSWER: &str = "All of it was read, and some of it twice; nothing is missing, nothing is new: üüü.";

/// Two model calls whose answers come in pieces, and two calls of a tool beside each other that tell of their progress.
fn world() -> World {
    let calls = [
        ("echo__progress", r#"{"times":5}"#),
        ("echo__progress", r#"{"times":3}"#),
    ];
    let asked = asks(&calls) + "text = \"I call a tool, twice.\"\nchunk = 3\ndelay_ms = 1\n";
    let answered = format!("[[reply]]\ntext = \"{ANSWER}\"\nchunk = 5\ndelay_ms = 2\n");
    World::new()
        .own_workspaces()
        .guest("echo")
        .tools(&["echo"])
        .script(asked + &answered)
}

/// What one reader has got, over all of its connections.
struct Reader {
    session: SessionId,
    events: Vec<Arc<Event>>,
    /// The text of each attempt, by the sequence of the event that began it.
    texts: BTreeMap<u64, String>,
    /// The attempts that this connection has given text of.
    connected: Vec<u64>,
    /// How many model calls it has seen whole in previews.
    whole: u64,
}

impl Reader {
    fn new(session: SessionId) -> Self {
        Self {
            session,
            events: Vec::new(),
            texts: BTreeMap::new(),
            connected: Vec::new(),
            whole: 0,
        }
    }

    fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.sequence)
    }

    fn has_ended(&self) -> bool {
        matches!(
            self.events.last().map(|event| &event.body),
            Some(EventBody::RunFinished(_))
        )
    }

    fn take(&mut self, item: &StreamItem) {
        match item {
            StreamItem::Event(event) => {
                assert_eq!((&event.session, event.sequence), (&self.session, self.last() + 1));
                self.events.push(event.clone());
                if let EventBody::ModelFinished { effect, reply, .. } = &event.body {
                    self.compare(effect, &reply.message.text);
                }
            }
            StreamItem::Delta(delta) => self.take_text(delta),
        }
    }

    fn take_text(&mut self, delta: &Delta) {
        let begun = &self.events[delta.started as usize - 1].body;
        let (effect, kind) = match begun {
            EventBody::ModelStarted { effect, .. } => (effect, DeltaKind::Model),
            EventBody::ToolStarted { effect, .. } => (effect, DeltaKind::Tool),
            other => panic!("{delta:?} belongs to {other:?}"),
        };
        assert_eq!((&*delta.effect, delta.kind, delta.attempt), (effect.as_str(), kind, 1));
        let is_over = |event: &Arc<Event>| match &event.body {
            EventBody::ModelFinished { effect: ended, .. } | EventBody::ToolFinished { effect: ended, .. } => {
                ended == effect
            }
            _ => false,
        };
        assert!(!self.events.iter().any(is_over), "{delta:?} comes after its call");
        let text = self.texts.entry(delta.started).or_default();
        let offset = delta.offset as usize;
        if self.connected.contains(&delta.started) {
            assert_eq!(offset, text.len(), "no gap and no repeat: {delta:?} after {text:?}");
        } else {
            assert_eq!(offset, 0, "the text so far: {delta:?}");
            assert!(delta.text.starts_with(text.as_str()), "{delta:?} after {text:?}");
            self.connected.push(delta.started);
            text.clear();
        }
        text.push_str(&delta.text);
    }

    /// Whoever has read along while the call ended has its whole text; who comes later, what there was when it left.
    fn compare(&mut self, effect: &str, answer: &str) {
        let begins = |event: &&Arc<Event>| matches!(&event.body, EventBody::ModelStarted { effect: begun, .. } if begun == effect);
        let started = self.events.iter().find(begins).expect("it has begun").sequence;
        let text = self.texts.get(&started).map_or("", String::as_str);
        if self.connected.contains(&started) {
            assert_eq!(text, answer);
            self.whole += 1;
        } else {
            assert!(answer.starts_with(text), "{text:?} of {answer:?}");
        }
    }
}

/// Reads a run in connections of a few items each; every run of the test cuts at the same places, as far as its timing does.
async fn read_in_pieces(store: Store, session: SessionId, seed: u64) -> Reader {
    let mut reader = Reader::new(session.clone());
    let mut random = seed;
    while !reader.has_ended() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut subscription = store.subscribe(&session, reader.last()).unwrap();
        reader.connected.clear();
        for _ in 0..=(random >> 33) % 12 {
            match subscription.next().await {
                Some(item) => reader.take(&item.unwrap()),
                None => break,
            }
        }
    }
    reader
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_cut_off_miss_nothing() {
    let world = world();
    let runtime = world.open().await;
    let (mut readers, mut runs) = (JoinSet::new(), JoinSet::new());
    for number in 0..RUNS {
        let stream = runtime.run(request_in(&format!("s-{number}"), "go")).await.unwrap();
        for reader in 0..READERS {
            let store = runtime.store().clone();
            readers.spawn(read_in_pieces(
                store,
                stream.session().clone(),
                number * READERS + reader,
            ));
        }
        runs.spawn(Ran::collect(stream));
    }
    for ran in runs.join_all().await {
        let mut reader = Reader::new(ran.session.clone());
        ran.items.iter().for_each(|item| reader.take(item));
        assert_eq!(
            (ran.result.text.as_str(), reader.whole),
            (ANSWER, 2),
            "who is never cut off sees all of it"
        );
        let progress: Vec<&String> = reader.texts.values().filter(|text| text.ends_with('\n')).collect();
        assert_eq!(
            progress,
            ["1 of 5\n2 of 5\n3 of 5\n4 of 5\n5 of 5\n", "1 of 3\n2 of 3\n3 of 3\n"]
        );
    }
    let mut whole = 0;
    for reader in readers.join_all().await {
        let journal = runtime.store().events(&reader.session, 0, 1000).unwrap();
        assert!(
            reader.events.iter().map(|event| &**event).eq(&journal),
            "{:?}",
            reader.session
        );
        whole += reader.whole;
    }
    assert!(whole > 0, "somebody saw an answer come to its end");
    runtime.close().await;
}

/// A stream of JSON lines that is cut at any byte is made whole by what follows the last event that arrived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_cut_at_any_byte() {
    let world = world();
    let runtime = world.open().await;
    let ran = Ran::collect(runtime.run(RunRequest::new("go")).await.unwrap()).await;
    let lines: Vec<String> = ran.items.iter().map(json_line).collect();
    let text: String = lines.concat();
    let journal: Vec<Value> = ran.events().map(|event| serde_json::to_value(event).unwrap()).collect();
    let mut rests = Vec::new();
    for after in 0..=journal.len() as u64 {
        let mut subscription = runtime.store().subscribe(&ran.session, after).unwrap();
        let mut rest = Vec::new();
        while let Some(item) = subscription.next().await {
            rest.push(json_line(&item.unwrap()));
        }
        rests.push(rest);
    }
    for cut in 0..=text.len() {
        let arrived = String::from_utf8_lossy(&text.as_bytes()[..cut]);
        let whole = arrived.rfind('\n').map_or("", |end| &arrived[..end]);
        let mut events = events_of(whole);
        let last = events.last().map_or(0, |event| event["sequence"].as_u64().unwrap());
        events.extend(events_of(&rests[last as usize].concat()));
        assert_eq!(events, journal, "cut at byte {cut}");
    }
    runtime.close().await;
}

fn json_line(item: &StreamItem) -> String {
    let text = match item {
        StreamItem::Event(event) => serde_json::to_string(event),
        StreamItem::Delta(delta) => serde_json::to_string(delta),
    };
    text.unwrap() + "\n"
}

/// The events among JSON lines; every preview belongs to one that came before it.
fn events_of(lines: &str) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        if value["sequence"].is_u64() {
            events.push(value);
        } else {
            assert!(
                events.iter().any(|event| event["sequence"] == value["started"]),
                "{line}"
            );
        }
    }
    events
}

/// Another process sees what is committed, as it is committed, and ends with the run.
#[test]
fn another_process_follows_a_run() {
    let world =
        World::new().script("[[reply]]\ntext = \"One two three four five six seven.\"\nchunk = 2\ndelay_ms = 20\n");
    world.write_config();
    let mut running = sandbar(&world.path(""), &["run", "--json", "--session", "talk", "go"])
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(running.stdout.take().unwrap()).lines();
    // The session is there as soon as its first event is shown.
    let first: Value = serde_json::from_str(&shown.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["type"], "run.started");
    let all = sandbar(&world.path(""), &["sessions", "follow", "talk", "--json"])
        .spawn()
        .unwrap();
    let rest = sandbar(
        &world.path(""),
        &["sessions", "follow", "talk", "--after", "2", "--json"],
    )
    .spawn()
    .unwrap();
    let mut expected = vec![first];
    expected.extend(shown.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()));
    expected.retain(|line| line["sequence"].is_u64());
    let ended = running.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    for (follower, after) in [(all, 0), (rest, 2)] {
        let output = follower.wait_with_output().unwrap();
        let followed: Vec<Value> = output
            .stdout
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        assert_eq!((output.status.code(), &followed[..]), (Some(0), &expected[after..]));
    }
    let text = run(&world.path(""), &["sessions", "follow", "talk"]).expect(0).out;
    assert!(text.contains("One two three four five six seven.\n"), "{text}");
    let missing = run(&world.path(""), &["sessions", "follow", "nobody"]).expect(2).err;
    assert!(missing.contains("there is no session `nobody`"), "{missing}");
}

/// A run whose process has died is over for those who follow it, though it has no end.
#[test]
fn following_a_dead_run_ends() {
    let world = World::new().script("[[reply]]\nhang = true\n");
    world.write_config();
    let mut running = sandbar(&world.path(""), &["run", "--json", "--session", "talk", "go"])
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(running.stdout.take().unwrap()).lines();
    while !shown.next().unwrap().unwrap().contains("model.started") {}
    let mut follower = sandbar(&world.path(""), &["sessions", "follow", "talk", "--json"])
        .spawn()
        .unwrap();
    let mut followed = BufReader::new(follower.stdout.take().unwrap()).lines();
    while !followed.next().unwrap().unwrap().contains("model.started") {}
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(followed.next().is_none());
    assert!(follower.wait().unwrap().success());
}
