//! What running calls have written so far, and how far a reader has got in it.
//!
//! A preview is no event: it is kept while its call runs, so that a reader who comes in the middle gets what it has missed, and
//! thrown away with the call's end. Readers take text from here at their own pace; nothing waits for them.

use std::sync::Arc;

use sandbar_protocol::{Delta, DeltaKind, EventBody};

/// How much of a model's text is kept: all of the longest answer that a run accepts.
const MODEL_BYTES: usize = 4 << 20;

/// How much of a tool's output is kept, the newest.
pub(crate) const TOOL_BYTES: usize = 64 << 10;

/// How far a text may grow over its limit before the oldest of it goes: then a token seldom costs more than an append.
pub(crate) const SLACK_BYTES: usize = 16 << 10;

/// The calls that are running, in the order in which they began. Empty it takes no room.
#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<Call>);

/// One attempt of a call, from its intent to its outcome.
#[derive(Debug)]
pub(crate) struct Call {
    kind: DeltaKind,
    effect: Arc<str>,
    started: u64,
    attempt: u32,
    /// Bytes that came before `text` and are gone.
    before: u64,
    text: String,
    /// The event that ends it, once that is accepted.
    ended: Option<u64>,
}

/// Which calls a reader wants text of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// Those that it has no text of yet.
    New,
    Any,
    /// Those that this event ends.
    EndedBy(u64),
}

/// How far one reader has got in each call, the one that it read last at the end.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    effect: Arc<str>,
    started: u64,
    read: u64,
}

impl Calls {
    /// Takes note of an event in the order of the journal, before it is committed.
    pub(crate) fn accept(&mut self, sequence: u64, body: &EventBody) {
        if let Some(effect) = settled_effect(body) {
            self.end(sequence, |call| *call.effect == *effect);
        }
        if matches!(body, EventBody::RunFinished(_)) {
            self.end(sequence, |_| true);
        }
        if let Some(call) = Call::begun_by(sequence, body) {
            if self.0.is_empty() {
                // Most runs do one thing at a time, and many sessions wait for a model at once.
                self.0.reserve_exact(1);
            }
            self.0.push(call);
        }
    }

    /// Keeps text of a running call; false where there is none of that name.
    pub(crate) fn write(&mut self, effect: &str, text: &str) -> bool {
        let mut running = self.0.iter_mut().filter(|call| call.ended.is_none());
        match running.find(|call| *call.effect == *effect) {
            Some(call) if !text.is_empty() => {
                call.push(text);
                true
            }
            _ => false,
        }
    }

    /// Takes the calls out that this event ends.
    pub(crate) fn take_ended(&mut self, sequence: u64) -> Vec<Call> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let ended = self.0.extract_if(.., |call| call.ended == Some(sequence)).collect();
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        ended
    }

    /// The next text for a reader that has the events up to `last`; of several calls, of that which it has read longest ago.
    pub(crate) fn unread(&self, wanted: Wanted, last: u64, places: &Places) -> Option<Delta> {
        let calls = self.0.iter().filter(|call| match wanted {
            Wanted::New => places.find(call.started).is_none(),
            Wanted::Any => true,
            Wanted::EndedBy(sequence) => call.ended == Some(sequence),
        });
        let unread = calls.filter(|call| call.has_unread(last, places));
        unread
            .min_by_key(|call| places.find(call.started).map(|(turn, _)| turn))?
            .unread(last, places)
    }

    fn end(&mut self, sequence: u64, which: impl Fn(&Call) -> bool) {
        for call in self.0.iter_mut().filter(|call| call.ended.is_none() && which(call)) {
            call.ended = Some(sequence);
        }
    }
}

impl Call {
    fn begun_by(sequence: u64, body: &EventBody) -> Option<Self> {
        let (kind, effect, attempt) = match body {
            EventBody::ModelStarted { effect, attempt, .. } => (DeltaKind::Model, effect, *attempt),
            EventBody::ToolStarted { effect, attempt, .. } => (DeltaKind::Tool, effect, *attempt),
            _ => return None,
        };
        Some(Self {
            kind,
            effect: effect.as_str().into(),
            started: sequence,
            attempt,
            before: 0,
            text: String::new(),
            ended: None,
        })
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.text.is_empty()
    }

    /// What a reader that has the events up to `last` has not got of it: nothing before it has begun, nothing after it has ended.
    pub(crate) fn unread(&self, last: u64, places: &Places) -> Option<Delta> {
        if !self.has_unread(last, places) {
            return None;
        }
        let read = places.find(self.started).map_or(0, |(_, read)| read);
        let skipped = read.saturating_sub(self.before);
        Some(Delta {
            kind: self.kind,
            effect: Arc::clone(&self.effect),
            started: self.started,
            attempt: self.attempt,
            offset: self.before + skipped,
            text: self.text[skipped as usize..].to_owned(),
        })
    }

    fn has_unread(&self, last: u64, places: &Places) -> bool {
        let read = places.find(self.started).map_or(0, |(_, read)| read);
        let is_open = self.started <= last && self.ended.is_none_or(|ended| last < ended);
        is_open && read < self.before + self.text.len() as u64
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        let limit = match self.kind {
            DeltaKind::Model => MODEL_BYTES,
            DeltaKind::Tool => TOOL_BYTES,
        };
        if self.text.len() > limit + SLACK_BYTES {
            let cut = self.text.ceil_char_boundary(self.text.len() - limit);
            self.text.drain(..cut);
            self.text.shrink_to(limit + SLACK_BYTES);
            self.before += cut as u64;
        }
    }
}

impl Places {
    pub(crate) fn advance(&mut self, delta: &Delta) {
        self.0.retain(|place| place.started != delta.started);
        self.0.push(Place {
            effect: Arc::clone(&delta.effect),
            started: delta.started,
            read: delta.offset + delta.text.len() as u64,
        });
    }

    /// An event was handed out: what it settles has no previews any more.
    pub(crate) fn pass(&mut self, body: &EventBody) {
        if let Some(effect) = settled_effect(body) {
            self.0.retain(|place| *place.effect != *effect);
        }
        if matches!(body, EventBody::RunFinished(_)) {
            self.0 = Vec::new();
        }
    }

    /// Whose turn it is, and how much of it was read.
    fn find(&self, started: u64) -> Option<(usize, u64)> {
        let turn = self.0.iter().position(|place| place.started == started)?;
        Some((turn, self.0[turn].read))
    }
}

/// Whether calls begin with this event.
pub(crate) fn begins_a_call(body: &EventBody) -> bool {
    matches!(body, EventBody::ModelStarted { .. } | EventBody::ToolStarted { .. })
}

/// The effect whose attempts so far are over with this event: it has its outcome, or is tried once more.
fn settled_effect(body: &EventBody) -> Option<&str> {
    match body {
        EventBody::ModelStarted { effect, .. }
        | EventBody::ToolStarted { effect, .. }
        | EventBody::ModelFinished { effect, .. }
        | EventBody::ModelDiscarded { effect, .. }
        | EventBody::ToolFinished { effect, .. } => Some(effect),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn accept(calls: &mut Calls, sequence: u64, body: Value) {
        calls.accept(sequence, &serde_json::from_value(body).unwrap());
    }

    fn begins(effect: &str) -> Value {
        json!({ "type": "model.started", "effect": effect, "ordinal": 1, "model": "m", "thread": "main" })
    }

    fn fails(effect: &str) -> Value {
        let error = json!({ "code": "cut", "kind": "model", "message": "cut off" });
        json!({ "type": "model.discarded", "effect": effect, "error": error, "ms": 1 })
    }

    #[test]
    fn nothing_is_kept_when_nothing_runs() {
        let mut calls = Calls::default();
        accept(&mut calls, 1, begins("a"));
        assert!(calls.write("a", "text") && !calls.write("b", "text"));
        accept(&mut calls, 2, fails("a"));
        // What a call says after its end is nobody's.
        assert!(!calls.write("a", "late"));
        let mut places = Places::default();
        places.advance(&calls.unread(Wanted::Any, 1, &places).unwrap());
        places.pass(&serde_json::from_value(fails("a")).unwrap());
        assert!(places.0.is_empty());
        let ended = calls.take_ended(2);
        assert_eq!(
            (ended.len(), ended[0].text.as_str(), calls.0.capacity()),
            (1, "text", 0)
        );
    }

    #[test]
    fn an_attempt_ends_where_the_next_one_begins() {
        let mut calls = Calls::default();
        accept(&mut calls, 1, begins("a"));
        calls.write("a", "first");
        accept(&mut calls, 2, begins("a"));
        calls.write("a", "second");
        let texts: Vec<String> = calls.take_ended(2).into_iter().map(|call| call.text).collect();
        assert_eq!((texts, calls.0[0].text.as_str()), (vec!["first".to_owned()], "second"));
    }

    #[test]
    fn a_call_that_says_a_great_deal_leaves_others_their_turn() {
        let (mut calls, mut places) = (Calls::default(), Places::default());
        accept(&mut calls, 1, begins("loud"));
        accept(&mut calls, 2, begins("quiet"));
        let mut heard = Vec::new();
        calls.write("quiet", "hush");
        for _ in 0..3 {
            calls.write("loud", "noise");
            let delta = calls.unread(Wanted::Any, 2, &places).unwrap();
            places.advance(&delta);
            heard.push(format!("{} {}", delta.effect, delta.offset));
        }
        assert_eq!(heard, ["loud 0", "quiet 0", "loud 5"]);
    }
}
