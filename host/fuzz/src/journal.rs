//! Rows of the journal, as they are read back from a file that somebody may have changed.

use sandbar_protocol::{Event, SessionId};
use sandbar_store::event_row::{Checksum, EventRow, chain, seed};
use sha2::{Digest as _, Sha256};

use crate::choices::Choices;

/// Bodies that are events.
const BODIES: [&str; 3] = [
    r#"{"type":"run.started","agent":"helper","message":"t","workspace":null}"#,
    r#"{"type":"model.started","effect":"e","ordinal":1,"model":"m","thread":"main","attempt":2}"#,
    r#"{"type":"from.later","deep":[1,{"x":null}]}"#,
];

/// What was written is read as it was; what was changed afterwards is read as it was or not at all, and neither is what follows it.
pub fn journal(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let session = SessionId::parse("s").expect("it is an id");
    let plan: [u8; 3] = std::array::from_fn(|_| choices.byte());
    let change: [u8; 3] = std::array::from_fn(|_| choices.byte());
    let text = String::from_utf8_lossy(choices.rest());
    let written = Journal::written(&session, plan, &text);
    let (events, problem) = written.read(&session);
    assert!(problem.is_none_or(|problem| !problem.starts_with("its checksum")));
    // A body that is none ends what can be read, as damage does.
    let mut changed = written.clone();
    changed.change(change);
    let (read, problem) = changed.read(&session);
    assert_eq!(read[..], events[..read.len()]);
    let lost = changed.rows.len() < written.rows.len();
    assert!(read.len() == events.len() || lost || problem.is_some(), "{changed:?}");
    if let Some(first) = written.rows.first() {
        let other = SessionId::parse("other").expect("it is an id");
        assert!(first.check(1, &seed(&other)).is_err(), "a row of another session");
        assert!(first.check(2, &seed(&session)).is_err(), "a row of another place");
    }
}

#[derive(Debug, Clone)]
struct Journal {
    rows: Vec<EventRow>,
    /// What is kept beside the rows, in their order.
    blobs: Vec<Option<Vec<u8>>>,
}

impl Journal {
    /// Lines are the runs and types and bodies of rows; a byte of the plan says what a row is made of.
    fn written(session: &SessionId, plan: [u8; 3], text: &str) -> Self {
        let (mut rows, mut blobs) = (Vec::new(), Vec::new());
        let mut lines = text.split('\n');
        let mut previous = seed(session);
        for (sequence, plan) in (1..).zip(plan) {
            let mut line = || lines.next().unwrap_or_default().to_owned();
            let run = if plan & 1 == 0 { "r".to_owned() } else { line() };
            let name = if plan & 2 == 0 { "type".to_owned() } else { line() };
            let body = match plan >> 4 {
                0 => line(),
                body => BODIES[usize::from(body) % BODIES.len()].to_owned(),
            };
            let digest = (plan & 4 != 0).then(|| Sha256::digest(&body).to_vec());
            let content = digest.as_deref().unwrap_or(body.as_bytes());
            let at_ms = u64::from(plan);
            let checksum = chain(&previous, sequence, at_ms, &run, &name, content);
            blobs.push(digest.is_some().then(|| body.clone().into_bytes()));
            rows.push(EventRow {
                run,
                name,
                at_ms,
                body: digest.is_none().then_some(body),
                blob: digest,
                checksum,
            });
            previous = checksum;
        }
        Self { rows, blobs }
    }

    /// The events before the first problem.
    fn read(&self, session: &SessionId) -> (Vec<Event>, Option<String>) {
        let mut events = Vec::new();
        let mut previous: Checksum = seed(session);
        for ((sequence, row), blob) in (1..).zip(&self.rows).zip(&self.blobs) {
            let read = row
                .check(sequence, &previous)
                .and_then(|()| row.event(session, sequence, blob.as_deref()));
            match read {
                Ok(event) => events.push(event),
                Err(problem) => return (events, Some(problem)),
            }
            previous = row.checksum;
        }
        (events, None)
    }

    /// As somebody could who writes the file and leaves the checksums of the other rows.
    fn change(&mut self, [at, what, how]: [u8; 3]) {
        let at = usize::from(at) % self.rows.len();
        let row = &mut self.rows[at];
        let how_wide = usize::from(how);
        match what % 12 {
            0 => row.run.push(char::from(how)),
            1 => {
                // The bytes are the same and belong to another field.
                if let Some(last) = row.run.pop() {
                    row.name.insert(0, last);
                }
            }
            2 => row.name.clear(),
            3 => row.at_ms ^= 1 << (how % 64),
            4 => row.body = row.body.take().map(|body| format!("{body} ")),
            5 => row.body = Some(BODIES[how_wide % BODIES.len()].to_owned()),
            6 => row.blob = row.body.take().map(String::into_bytes),
            7 => row.checksum[how_wide % 16] ^= 1,
            8 => row.blob = None,
            9 => {
                if let Some(byte) = self.blobs[at].as_mut().and_then(|blob| blob.get_mut(how_wide)) {
                    *byte ^= 1;
                }
            }
            10 => {
                self.rows.remove(at);
                self.blobs.remove(at);
            }
            _ => {
                let other = how_wide % self.rows.len();
                self.rows.swap(at, other);
                self.blobs.swap(at, other);
            }
        }
    }
}
