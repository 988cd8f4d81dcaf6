//! A run as a person sees it: the model's text as it comes, and a line for each thing that happens.

use std::collections::HashMap;

use sandbar::protocol::{Delta, DeltaKind, EventBody, StreamItem};

use crate::lines::event_line;
use crate::sanitise::sanitise;
use crate::style::{Paint, Style};
use crate::terminal::{Stream, Terminal};

/// The thread whose text is the answer.
const MAIN_THREAD: &str = "main";

/// The model's text goes to standard output; everything else to the stream that was asked for.
pub(crate) struct Transcript {
    chatter: Stream,
    paint: Paint,
    /// What has been printed of each answer that is being written, by effect.
    answers: HashMap<String, String>,
    /// The unfinished last line of each running call's progress, by effect.
    progress: HashMap<String, String>,
    at_line_start: bool,
    /// The last text that was printed as an answer.
    said: String,
    /// What the item that is shown gives to print.
    pieces: Vec<(Stream, String)>,
}

impl Transcript {
    pub(crate) fn new(chatter: Stream, paint: Paint) -> Self {
        Self {
            chatter,
            paint,
            answers: HashMap::new(),
            progress: HashMap::new(),
            at_line_start: true,
            said: String::new(),
            pieces: Vec::new(),
        }
    }

    pub(crate) fn show(&mut self, item: &StreamItem, terminal: &Terminal) {
        for (stream, text) in self.pieces_of(item) {
            terminal.write(stream, &text);
        }
    }

    fn pieces_of(&mut self, item: &StreamItem) -> Vec<(Stream, String)> {
        match item {
            StreamItem::Event(event) => self.take_event(&event.body),
            StreamItem::Delta(delta) => self.take_delta(delta),
        }
        std::mem::take(&mut self.pieces)
    }

    fn take_delta(&mut self, delta: &Delta) {
        let effect = &*delta.effect;
        match delta.kind {
            DeltaKind::Model => {
                if let Some(answer) = self.answers.get_mut(effect) {
                    answer.push_str(&delta.text);
                    self.print(&delta.text);
                }
            }
            DeltaKind::Tool => {
                let mut unfinished = self.progress.remove(effect).unwrap_or_default();
                unfinished.push_str(&delta.text);
                while let Some((line, rest)) = unfinished.split_once('\n') {
                    self.print_progress(line);
                    unfinished = rest.to_owned();
                }
                self.progress.insert(effect.to_owned(), unfinished);
            }
        }
    }

    fn take_event(&mut self, body: &EventBody) {
        match body {
            EventBody::ModelStarted { effect, thread, .. } if thread == MAIN_THREAD => {
                self.answers.insert(effect.clone(), String::new());
            }
            EventBody::ModelFinished {
                effect, thread, reply, ..
            } if thread == MAIN_THREAD => {
                let printed = self.answers.remove(effect).unwrap_or_default();
                self.complete(&printed, &reply.message.text);
            }
            EventBody::ModelDiscarded { effect, .. } => {
                // The run's result keeps what there was of an answer, or the answer before it: both have been printed.
                if let Some(printed) = self.answers.remove(effect).filter(|printed| !printed.is_empty()) {
                    self.said = printed;
                }
            }
            EventBody::ToolFinished { effect, .. } => match self.progress.remove(effect) {
                Some(line) if !line.is_empty() => self.print_progress(&line),
                _ => {}
            },
            // A pattern may answer with a text of its own.
            EventBody::RunFinished(result) if result.text.trim() != self.said.trim() => self.complete("", &result.text),
            _ => {}
        }
        if let Some(line) = event_line(body, self.paint) {
            self.print_line(&line);
        }
    }

    /// Previews may be missing, so the whole text decides what is left to print.
    fn complete(&mut self, printed: &str, text: &str) {
        match text.strip_prefix(printed) {
            Some(rest) => self.print(rest),
            None => {
                self.end_line();
                self.print(text);
            }
        }
        self.end_line();
        if !text.is_empty() {
            text.clone_into(&mut self.said);
        }
    }

    fn print_progress(&mut self, line: &str) {
        let line = self.paint.with(Style::Dim, &format!("  │ {}", sanitise(line)));
        self.print_line(&line);
    }

    fn print_line(&mut self, line: &str) {
        self.end_line();
        self.pieces.push((self.chatter, format!("{line}\n")));
    }

    fn print(&mut self, text: &str) {
        let text = sanitise(text);
        if let Some(last) = text.chars().last() {
            self.at_line_start = last == '\n';
            self.pieces.push((Stream::Out, text.into_owned()));
        }
    }

    fn end_line(&mut self) {
        if !self.at_line_start {
            self.print("\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sandbar::protocol::{Event, RunId, SessionId};
    use serde_json::{Value, json};

    use super::*;

    fn item(value: &Value) -> StreamItem {
        if let Ok(delta) = serde_json::from_value(value.clone()) {
            return StreamItem::Delta(Arc::new(delta));
        }
        let body: EventBody = serde_json::from_value(value.clone()).unwrap();
        assert!(!matches!(body, EventBody::Unknown(_)), "{body:?}");
        let (session, run) = (SessionId::from_entropy(1), RunId::from_entropy(1));
        StreamItem::Event(Arc::new(Event {
            session,
            sequence: 1,
            run,
            at_ms: 0,
            body,
        }))
    }

    fn check(items: &[Value], out: &str, err: &str) {
        let mut transcript = Transcript::new(Stream::Err, Paint { coloured: false });
        let pieces: Vec<_> = items
            .iter()
            .flat_map(|value| transcript.pieces_of(&item(value)))
            .collect();
        let of = |wanted| -> String {
            let pieces = pieces.iter().filter(|(stream, _)| *stream == wanted);
            pieces.map(|(_, text)| text.as_str()).collect()
        };
        assert_eq!((of(Stream::Out).as_str(), of(Stream::Err).as_str()), (out, err));
    }

    fn started(effect: &str, thread: &str) -> Value {
        json!({ "type": "model.started", "effect": effect, "ordinal": 1, "model": "m", "thread": thread })
    }

    fn preview(kind: &str, effect: &str, text: &str) -> Value {
        json!({ "type": kind, "effect": effect, "started": 1, "attempt": 1, "offset": 0, "text": text })
    }

    fn delta(effect: &str, text: &str) -> Value {
        preview("model.delta", effect, text)
    }

    fn finished(effect: &str, thread: &str, text: &str) -> Value {
        let reply = json!({ "message": { "role": "assistant", "text": text }, "finish_reason": "stop" });
        json!({ "type": "model.finished", "effect": effect, "thread": thread, "ms": 1, "reply": reply })
    }

    fn discarded(effect: &str) -> Value {
        let error = json!({ "code": "cut", "kind": "model", "message": "gone" });
        json!({ "type": "model.discarded", "effect": effect, "error": error, "ms": 1 })
    }

    fn ended(text: &str) -> Value {
        json!({ "type": "run.finished", "result": { "session": "s", "run": "r", "stop_reason": "finished", "text": text, "steps": 1,
            "tool_calls": 0, "model_calls": 1, "usage": {}, "wall_ms": 1 } })
    }

    #[test]
    fn an_answer_is_printed_once() {
        let (start, end) = (started("e", "main"), finished("e", "main", "Hello."));
        check(
            &[
                start.clone(),
                delta("e", "Hel"),
                delta("e", "lo."),
                end.clone(),
                ended("Hello."),
            ],
            "Hello.\n",
            "",
        );
        check(&[start.clone(), end.clone(), ended("Hello.")], "Hello.\n", "");
        check(&[start.clone(), delta("e", "Hel"), end.clone()], "Hello.\n", "");
        check(
            &[start.clone(), delta("e", "Hullo"), end.clone()],
            "Hullo\nHello.\n",
            "",
        );
        check(&[start.clone(), end, ended("Other.\n")], "Hello.\nOther.\n", "");
        check(&[start, delta("e", "a\u{1b}[2Jb")], "ab", "");
        let plan = [started("p", "plan"), delta("p", "x"), finished("p", "plan", "x")];
        check(&plan, "", "  · plan: x\n");
    }

    #[test]
    fn what_a_failed_run_keeps_is_printed_once() {
        let first = [
            started("1", "main"),
            finished("1", "main", "First."),
            started("2", "main"),
        ];
        let [a, b, c] = first;
        let lost = "  ✗ model  cut: gone\n";
        check(
            &[a.clone(), b.clone(), c.clone(), discarded("2"), ended("First.")],
            "First.\n",
            lost,
        );
        check(
            &[a, b, c, delta("2", "Sec"), discarded("2"), ended("Sec")],
            "First.\nSec\n",
            lost,
        );
    }

    #[test]
    fn progress_comes_in_lines() {
        let progress = |text| preview("tool.delta", "t", text);
        let finished = json!({ "type": "tool.finished", "effect": "t", "call_id": "c", "thread": "main", "name": "build",
            "output": { "text": "ok" }, "ms": 3 });
        check(
            &[progress("one\ntw"), progress("o\nthr"), finished],
            "",
            "  │ one\n  │ two\n  │ thr\n  ✓ build  3 ms  2 B\n",
        );
    }
}
