//! Values that must not be written: not in events, not in previews, not in what is derived from events.

use sandbar_protocol::{AuditDecision, Protected};

use super::*;
use crate::AuditFilter;

const SECRET: &str = "sk-very-secret-0123456789";

fn guarded() -> StoreOptions {
    let values = [("key", SECRET), ("pin", "20261121")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    StoreOptions {
        protected: Arc::new(Protected::new(values)),
        ..options()
    }
}

fn started(message: &str) -> EventBody {
    let body = json!({ "type": "run.started", "agent": "a", "message": message, "workspace": null });
    serde_json::from_value(body).unwrap()
}

/// Everything in the data directory.
fn bytes_on_disk(directory: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.is_file())
        .flat_map(|file| std::fs::read(file).unwrap())
        .collect()
}

#[tokio::test]
async fn no_protected_value_reaches_the_disk_or_a_reader() {
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path(), guarded()).unwrap();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    let event = writer
        .append(&run("r"), started(&format!("use {SECRET} please")))
        .await
        .unwrap();
    // Who appends goes on with what was written.
    assert!(matches!(&event.body, EventBody::RunStarted { message, .. } if message == "use [redacted] please"));
    append(
        &writer,
        &[
            &format!("quoted \"{SECRET}\""),
            "c2stdmVyeS1zZWNyZXQtMDEyMzQ1Njc4OQ== is the same",
            "harmless",
        ],
    )
    .await;
    writer.flush().await.unwrap();
    assert_eq!(
        seen(&mut reader),
        "1 run.started, 2 quoted \"[redacted]\", 3 [redacted]Q== is the same, 4 harmless"
    );
    drop(writer);
    assert_eq!(
        store.session(&session("a")).unwrap().unwrap().title,
        "use [redacted] please"
    );
    store.settle().await.unwrap();
    let leaks = AuditFilter {
        action: Some("leak".to_owned()),
        ..AuditFilter::default()
    };
    let entries = store.audit_entries(&leaks, 10).unwrap();
    let targets: Vec<&str> = entries.iter().map(|record| record.entry.target.as_str()).collect();
    assert_eq!(
        targets,
        [
            "key as plain in run.started",
            "key as plain in unsupported",
            "key as base64 in unsupported"
        ]
    );
    assert!(
        entries
            .iter()
            .all(|record| record.entry.decision == AuditDecision::Redacted)
    );
    let on_disk = bytes_on_disk(directory.path());
    assert!(
        memchr(&on_disk, b"harmless"),
        "the journal is not where this test looks"
    );
    assert!(!memchr(&on_disk, SECRET.as_bytes()));
}

fn memchr(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// A value that is a number stands where only a number fits: the event is written all the same, and its texts are clean.
#[tokio::test]
async fn an_event_stays_an_event() {
    let store = Store::in_memory(guarded()).unwrap();
    let writer = begin(&store, "a");
    let body = json!({ "type": "tool.finished", "effect": "e", "call_id": "c", "thread": "main", "name": "t", "ms": 20_261_121,
        "output": { "text": "the pin is 20261121" } });
    let event = writer
        .append(&run("r"), serde_json::from_value(body).unwrap())
        .await
        .unwrap();
    let EventBody::ToolFinished { outcome, ms, .. } = &event.body else {
        panic!("{event:?}")
    };
    assert_eq!(*ms, 20_261_121);
    assert!(format!("{outcome:?}").contains("the pin is [redacted]"), "{outcome:?}");
}

/// Text that comes in pieces is shown as soon as no value can lie across its end.
#[tokio::test]
async fn previews_are_held_back_as_far_as_a_value_may_begin() {
    let store = Store::in_memory(guarded()).unwrap();
    let writer = begin(&store, "a");
    let mut reader = writer.subscribe(0);
    append_call(&writer, 'm', "e").await;
    writer.flush().await.unwrap();
    assert_eq!(seen(&mut reader), "1 model.started");
    for (piece, expected) in [
        ("The k", "~1+0 The k"),
        ("ey is sk-very", "~1+5 ey is "),
        ("-secret-0123", ""),
        ("456789, and", "~1+11 [redacted], and"),
        (" so on", "~1+26  so o"),
        ("ü", "~1+31 nü"),
        // With something between its characters, and where it was another word after all.
        (" s k - v e", "~1+34  "),
        ("!", "~1+35 s k - v e!"),
    ] {
        writer.preview("e", piece);
        assert_eq!(seen(&mut reader), expected, "{piece}");
    }
    // A further attempt begins with nothing.
    append_call(&writer, 'x', "e").await;
    append_call(&writer, 'm', "e").await;
    writer.preview("e", "tail ");
    writer.flush().await.unwrap();
    assert_eq!(seen(&mut reader), "2 model.discarded, 3 model.started, ~3+0 tail ");
}
