//! Readers that come early, late, and too slowly.

use std::fmt::Write as _;

use super::*;
use crate::live::{Live, Tip};

#[tokio::test]
async fn previews_come_between_the_events_that_they_were_made_between() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    let held = hold(directory.path());
    append_call(&writer, 'm', "e").await;
    writer.preview("e", "a");
    // Nothing is shown before the event that it belongs to.
    assert!(is_pending(reader.next()));
    drop(held);
    writer.flush().await.unwrap();
    assert_eq!(seen(&mut reader), "1 model.started, ~1+0 a");
    writer.preview("e", "b");
    append(&writer, &["two"]).await;
    writer.flush().await.unwrap();
    assert_eq!(seen(&mut reader), "2 two, ~1+1 b");
    let mut late = writer.subscribe(writer.head());
    writer.preview("e", "cc");
    assert_eq!(seen(&mut late), "~1+0 abcc");
    writer.preview("e", "d");
    append_call(&writer, 'M', "e").await;
    drop(writer);
    assert_eq!(drain(&mut reader).await, "~1+2 ccd, 3 model.finished");
    assert_eq!(drain(&mut late).await, "~1+4 d, 3 model.finished");
    assert_eq!(texts(&store, "a"), "1 model.started, 2 two, 3 model.finished");
}

#[tokio::test]
async fn a_slow_reader_reads_the_journal_again() {
    let (_directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    for number in 1..=1000 {
        writer.append(&run("r"), said("x")).await.unwrap();
        writer.preview("e", "x");
        if number % 100 == 0 {
            writer.flush().await.unwrap();
        }
    }
    // It has lost what was waiting, and gets it without anything new that would wake it up.
    while !matches!(now(reader.next()), Some(Ok(StreamItem::Event(event))) if event.sequence == 500) {}
    append(&writer, &["end"]).await;
    drop(writer);
    let mut expected = String::new();
    for sequence in 501..=1000 {
        write!(expected, "{sequence} x, ").unwrap();
    }
    let seen = drain(&mut reader).await;
    let events: Vec<&str> = seen.split(", ").filter(|part| !part.starts_with('~')).collect();
    assert_eq!(events.join(", "), format!("{expected}1001 end"));
}

#[tokio::test]
async fn a_mailbox_that_overflows_with_its_last_item_loses_nothing() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    append(&writer, &["x"; crate::mailbox::MAX_WAITING + 1]).await;
    writer.flush().await.unwrap();
    for _ in 0..=crate::mailbox::MAX_WAITING {
        assert!(matches!(now(reader.next()), Some(Ok(StreamItem::Event(_)))));
    }
    assert!(is_pending(reader.next()));
}

/// A reader that has lost what was waiting for it gets what a running call has written, too, where it belongs.
#[tokio::test]
async fn a_slow_reader_gets_the_text_so_far() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    append(&writer, &["one"]).await;
    append_call(&writer, 't', "gone").await;
    append_call(&writer, 'm', "e").await;
    for _ in 0..2 * crate::mailbox::MAX_WAITING {
        append(&writer, &["x"]).await;
        writer.preview("gone", "-");
        writer.preview("e", "ab");
    }
    append_call(&writer, 'T', "gone").await;
    writer.flush().await.unwrap();
    for expected in ["1 one", "2 tool.started", "3 model.started"] {
        assert_eq!(shown_item(now(reader.next()).unwrap()), expected);
    }
    assert_eq!(
        shown_item(now(reader.next()).unwrap()),
        format!("~3+0 {}", "ab".repeat(2 * crate::mailbox::MAX_WAITING))
    );
    writer.preview("e", "!");
    let rest = seen(&mut reader);
    assert!(
        rest.starts_with("4 x, 5 x, ") && rest.ends_with("516 tool.finished, ~3+1024 !"),
        "{rest}"
    );
}

#[tokio::test]
async fn previews_of_a_call_that_has_ended_are_not_shown() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    writer.preview("e", "too early");
    append_call(&writer, 'm', "e").await;
    writer.preview("e", "first");
    append_call(&writer, 'x', "e").await;
    writer.preview("e", "too late");
    writer.flush().await.unwrap();
    let mut reader = writer.subscribe(0);
    assert_eq!(seen(&mut reader), "1 model.started, 2 model.discarded");
    let EventBody::ModelStarted {
        effect,
        ordinal,
        model,
        thread,
        appended,
        ..
    } = call_event('m', "e")
    else {
        unreachable!()
    };
    let again = EventBody::ModelStarted {
        effect,
        ordinal,
        attempt: 2,
        model,
        thread,
        appended,
    };
    writer.append(&run("r"), again).await.unwrap();
    writer.preview("e", "ü");
    writer.preview("e", "second");
    writer.flush().await.unwrap();
    assert_eq!(shown_item(now(reader.next()).unwrap()), "3 model.started");
    let Some(Ok(StreamItem::Delta(delta))) = now(reader.next()) else {
        panic!("there is text")
    };
    assert_eq!(
        serde_json::to_value(&*delta).unwrap(),
        json!({ "type": "model.delta", "effect": "e", "started": 3, "attempt": 2, "offset": 0, "text": "üsecond" })
    );
    writer.preview("e", "!");
    assert_eq!(seen(&mut reader), "~3+8 !");
}

#[tokio::test]
async fn of_a_tools_output_the_newest_is_kept() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    append_call(&writer, 't', "e").await;
    writer.flush().await.unwrap();
    let line = "ü".repeat(49) + "\n";
    let lines = 2 * crate::previews::TOOL_BYTES / line.len();
    for _ in 0..lines {
        writer.preview("e", &line);
    }
    let Some(Ok(StreamItem::Delta(delta))) = now(writer.subscribe(1).next()) else {
        panic!("there is text")
    };
    let whole = line.repeat(lines);
    assert_eq!(delta.text, whole[delta.offset as usize..]);
    let kept = crate::previews::TOOL_BYTES..=crate::previews::TOOL_BYTES + crate::previews::SLACK_BYTES;
    assert!(kept.contains(&delta.text.len()), "{}", delta.text.len());
}

/// What a call has written comes to its readers once and whole, whatever happens first.
#[tokio::test]
async fn text_has_no_gap_in_any_order() {
    const CALL: [&str; 6] = ["started", "ab", "other", "c", "d", "finished"];
    let (directory, store) = directory_and_store();
    for committed in 0..=CALL.len() {
        for subscribed in 0..=CALL.len() {
            for (knows, eager) in [(false, false), (false, true), (true, false), (true, true)] {
                let case = format!("{committed}-{subscribed}-{knows}-{eager}");
                let writer = begin(&store, &case);
                writer.flush().await.unwrap();
                let mut held = Some(hold(directory.path()));
                let mut reader = None;
                for at in 0..=CALL.len() {
                    if at == committed {
                        drop(held.take());
                        writer.flush().await.unwrap();
                        held = Some(hold(directory.path()));
                    }
                    if at == subscribed {
                        let head = store.session(&session(&case)).unwrap().unwrap().events;
                        reader = Some(Follower::begin(&writer, if knows { head } else { 0 }));
                    }
                    match CALL.get(at) {
                        Some(&"started") => append_call(&writer, 'm', "e").await,
                        Some(&"other") => append(&writer, &["other"]).await,
                        Some(&"finished") => append_call(&writer, 'M', "e").await,
                        Some(text) => writer.preview("e", text),
                        None => {}
                    }
                    if let (Some(reader), true) = (&mut reader, eager) {
                        reader.read();
                    }
                }
                drop(held);
                writer.flush().await.unwrap();
                let mut reader = reader.unwrap();
                reader.read();
                // Who comes when the end is known doesn't need what led to it.
                let came_late = committed == CALL.len() && subscribed == CALL.len();
                let expected = if came_late { "" } else { "abcd" };
                assert_eq!((reader.last, reader.texts[0].as_str()), (3, expected), "{case}");
            }
        }
    }
}

/// A reader that was too slow may see the end of a call in the journal before it is shown, between the commit and the showing.
#[tokio::test]
async fn the_end_of_a_call_may_be_read_before_it_is_shown() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    let live = Arc::new(Live::new(&session("a"), true));
    let mut reader = store.subscription(&session("a"), 0, Some(&live));
    let last = crate::mailbox::MAX_WAITING as u64 + 3;
    for sequence in 1..=last {
        let body = match sequence {
            1 => call_event('m', "e"),
            _ if sequence == last => call_event('M', "e"),
            _ => said("x"),
        };
        writer.append(&run("r"), body.clone()).await.unwrap();
        live.accept(body, |_, _| Ok(())).unwrap();
        live.preview("e", &format!("{sequence},"));
        writer.flush().await.unwrap();
        live.committed(Tip {
            fence: 1,
            head: sequence,
            checksum: [0; 16],
        });
        if sequence < last {
            let event = store.events(&session("a"), sequence - 1, 1).unwrap().remove(0);
            live.show_event(&Arc::new(event));
        }
        if sequence == 1 {
            assert_eq!(seen(&mut reader), "1 model.started, ~1+0 1,");
        }
    }
    let rest: String = (2..last).map(|sequence| format!("{sequence},")).collect();
    let seen = seen(&mut reader);
    let end = format!(" {} x, ~1+2 {rest}, {last} model.finished", last - 1);
    assert!(seen.ends_with(&end), "{seen} ends with {end}");
}

/// Calls beside each other, with readers that come and go between any two items.
#[tokio::test]
async fn readers_that_come_back_miss_nothing() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    append_call(&writer, 't', "a").await;
    append_call(&writer, 't', "b").await;
    writer.flush().await.unwrap();
    let mut readers: Vec<Follower> = (0..8).map(|_| Follower::begin(&writer, 0)).collect();
    for round in 0..200 {
        writer.preview(if round % 3 == 0 { "a" } else { "b" }, &format!("{round},"));
        if round % 7 == 0 {
            append(&writer, &["x"]).await;
        }
        if round % 20 == 0 {
            writer.flush().await.unwrap();
        }
        for (number, reader) in readers.iter_mut().enumerate() {
            match (round + 3 * number) % (number + 2) {
                0 => reader.come_back(&writer),
                1 => {
                    reader.read_one();
                }
                _ => {}
            }
        }
    }
    append_call(&writer, 'T', "a").await;
    append_call(&writer, 'T', "b").await;
    writer.flush().await.unwrap();
    let text = |of_a: bool| {
        let rounds = (0..200).filter(|round| (round % 3 == 0) == of_a);
        rounds.map(|round| format!("{round},")).collect::<String>()
    };
    for reader in &mut readers {
        reader.read();
        assert_eq!(reader.last, writer.head());
        assert_eq!(reader.texts, [text(true), text(false)]);
    }
}

#[tokio::test]
async fn a_reader_begins_where_it_wants() {
    let (_directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one", "two"]).await;
    writer.flush().await.unwrap();
    let mut readers = [0, 1, 2, 3, 10].map(|after| store.subscribe(&session("a"), after).unwrap());
    append(&writer, &["three", "four"]).await;
    drop(writer);
    let expected = [
        "1 one, 2 two, 3 three, 4 four",
        "2 two, 3 three, 4 four",
        "3 three, 4 four",
        "4 four",
        "",
    ];
    for (reader, expected) in readers.iter_mut().zip(expected) {
        assert_eq!(drain(reader).await, expected);
    }
}

#[tokio::test]
async fn a_reader_without_a_writer_gets_the_journal_and_ends() {
    let (_directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one", "two"]).await;
    drop(writer);
    // The writer is gone, and what it appended may still be on its way.
    assert_eq!(
        drain(&mut store.subscribe(&session("a"), 0).unwrap()).await,
        "1 one, 2 two"
    );
    assert_eq!(drain(&mut store.subscribe(&session("a"), 1).unwrap()).await, "2 two");
    assert_eq!(store.subscribe(&session("b"), 0).unwrap_err().code, "session-not-found");
}

#[tokio::test]
async fn a_session_that_is_opened_again_is_read_from_its_start() {
    let (directory, store) = directory_and_store();
    let writer = begin(&store, "a");
    append(&writer, &["one"]).await;
    drop((writer, store));
    let store = open(directory.path());
    let held = hold(directory.path());
    let id = session("a");
    let mut opening = Box::pin(store.write_session(&id));
    assert!(is_pending(&mut opening));
    // While its lease is being taken nobody here knows yet where the journal ends.
    let mut early = store.subscribe(&session("a"), 0).unwrap();
    assert!(!is_pending(early.next()));
    drop(held);
    let writer = opening.await.unwrap();
    append(&writer, &["two"]).await;
    drop(writer);
    assert_eq!(drain(&mut early).await, "2 two");
}

#[tokio::test]
async fn readers_that_leave_cost_nothing() {
    let store = Store::in_memory(options()).unwrap();
    let writer = begin(&store, "a");
    for _ in 0..100 {
        drop(writer.subscribe(0));
    }
    let mut waiting = writer.subscribe(0);
    // Given up while it waits, it misses nothing.
    assert!(is_pending(waiting.next()));
    append(&writer, &["one"]).await;
    writer.flush().await.unwrap();
    drop(writer);
    assert_eq!(drain(&mut waiting).await, "1 one");
}

/// Begins a run, or ends it.
fn run_event(kind: &str) -> EventBody {
    let result = json!({ "session": "a", "run": "r", "stop_reason": "finished", "text": "", "steps": 1, "tool_calls": 0,
        "model_calls": 0, "usage": {}, "wall_ms": 1 });
    serde_json::from_value(match kind {
        "run.started" => json!({ "type": kind, "agent": "a", "message": "hi", "workspace": null }),
        _ => json!({ "type": kind, "result": result }),
    })
    .unwrap()
}

/// Another process, which another store is, sees what is committed, until no run goes on.
#[tokio::test]
async fn another_process_follows_until_the_run_ends() {
    for dies in [false, true] {
        let (directory, store) = directory_and_store();
        let other = open(directory.path());
        assert_eq!(
            other.follow(&session("a"), 0).next().await.unwrap().unwrap_err().code,
            "session-not-found"
        );
        let writer = begin(&store, "a");
        writer.append(&run("r"), run_event("run.started")).await.unwrap();
        append(&writer, &["x"; 100]).await;
        writer.flush().await.unwrap();
        let mut follow = other.follow(&session("a"), 1);
        for sequence in 2..=101 {
            assert_eq!(now(follow.next()).unwrap().unwrap().sequence, sequence);
        }
        assert!(is_pending(follow.next()));
        append(&writer, &["new"]).await;
        assert_eq!(text_of(&follow.next().await.unwrap().unwrap()), "new");
        if dies {
            drop((writer, store));
        } else {
            writer.append(&run("r"), run_event("run.finished")).await.unwrap();
            assert_eq!(text_of(&follow.next().await.unwrap().unwrap()), "run.finished");
        }
        assert!(follow.next().await.is_none());
        assert!(other.follow(&session("a"), 200).next().await.is_none());
    }
}

/// A reader that checks what it gets: events without a gap, and text at its place, of calls that it knows and that aren't over.
struct Follower {
    subscription: Subscription,
    last: u64,
    /// What the calls have written that began with the first and the second event.
    texts: [String; 2],
    /// Whether this connection has given text of them yet: the first is the text so far.
    continues: [bool; 2],
    ended: usize,
}

impl Follower {
    fn begin(writer: &SessionWriter, after: u64) -> Self {
        Self {
            subscription: writer.subscribe(after),
            last: after,
            texts: Default::default(),
            continues: [false; 2],
            ended: 0,
        }
    }

    fn come_back(&mut self, writer: &SessionWriter) {
        self.subscription = writer.subscribe(self.last);
        self.continues = [false; 2];
    }

    /// Whatever is there.
    fn read(&mut self) {
        while self.read_one() {}
    }

    fn read_one(&mut self) -> bool {
        match at_once(self.subscription.next()) {
            Some(Some(Ok(StreamItem::Event(event)))) => {
                assert_eq!(event.sequence, self.last + 1);
                self.last = event.sequence;
                self.ended += usize::from(event.body.name().ends_with(".finished"));
            }
            Some(Some(Ok(StreamItem::Delta(delta)))) => {
                assert!(
                    delta.started <= self.last && self.ended < 2,
                    "{delta:?} at {}",
                    self.last
                );
                let call = delta.started as usize - 1;
                if !std::mem::replace(&mut self.continues[call], true) {
                    let known = std::mem::take(&mut self.texts[call]);
                    assert!(delta.text.starts_with(&known), "{delta:?} after {known}");
                }
                assert_eq!(delta.offset, self.texts[call].len() as u64, "{delta:?}");
                self.texts[call].push_str(&delta.text);
            }
            Some(other) => panic!("{other:?}"),
            None => return false,
        }
        true
    }
}
