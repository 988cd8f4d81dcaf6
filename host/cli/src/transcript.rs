//! A run as a person sees it: the model's text as it comes, and a line for each thing that happens.

use std::collections::HashMap;

use sandbar::protocol::{Delta, EventBody, StreamItem};

use crate::lines::event_line;
use crate::sanitise::sanitise;
use crate::style::Style;
use crate::terminal::{Stream, Terminal};

/// The thread whose text is the answer.
const MAIN_THREAD: &str = "main";

/// The model's text goes to standard output; everything else to the stream that was asked for.
pub(crate) struct Transcript<'a> {
    terminal: &'a Terminal,
    chatter: Stream,
    /// What has been printed of each answer that is being written, by effect.
    answers: HashMap<String, String>,
    /// The unfinished last line of each running call's progress, by effect.
    progress: HashMap<String, String>,
    at_line_start: bool,
    /// The last answer that was printed.
    said: String,
}

impl<'a> Transcript<'a> {
    pub(crate) fn new(terminal: &'a Terminal, chatter: Stream) -> Self {
        Self {
            terminal,
            chatter,
            answers: HashMap::new(),
            progress: HashMap::new(),
            at_line_start: true,
            said: String::new(),
        }
    }

    pub(crate) fn show(&mut self, item: &StreamItem) {
        match item {
            StreamItem::Event(event) => self.show_event(&event.body),
            StreamItem::Delta(delta) => self.show_delta(delta),
        }
    }

    fn show_delta(&mut self, delta: &Delta) {
        match delta {
            Delta::Model { effect, text } => {
                if let Some(answer) = self.answers.get_mut(effect) {
                    answer.push_str(text);
                    self.print(text);
                }
            }
            Delta::Tool { effect, text } => {
                let mut unfinished = self.progress.remove(effect).unwrap_or_default();
                unfinished.push_str(text);
                while let Some((line, rest)) = unfinished.split_once('\n') {
                    self.show_progress(line);
                    unfinished = rest.to_owned();
                }
                self.progress.insert(effect.clone(), unfinished);
            }
        }
    }

    fn show_event(&mut self, body: &EventBody) {
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
                self.said = self.answers.remove(effect).unwrap_or_default();
                self.end_line();
            }
            EventBody::ToolFinished { effect, .. } => match self.progress.remove(effect) {
                Some(line) if !line.is_empty() => self.show_progress(&line),
                _ => {}
            },
            // A pattern may answer with a text of its own.
            EventBody::RunFinished(result) if result.text.trim() != self.said.trim() => self.complete("", &result.text),
            _ => {}
        }
        if let Some(line) = event_line(body, self.terminal.paint(self.chatter)) {
            self.end_line();
            self.terminal.write(self.chatter, &format!("{line}\n"));
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
        text.clone_into(&mut self.said);
    }

    fn show_progress(&mut self, line: &str) {
        self.end_line();
        let paint = self.terminal.paint(self.chatter);
        let line = paint.with(Style::Dim, &format!("  │ {}", sanitise(line)));
        self.terminal.write(self.chatter, &format!("{line}\n"));
    }

    fn print(&mut self, text: &str) {
        let text = sanitise(text);
        if let Some(last) = text.chars().last() {
            self.at_line_start = last == '\n';
            self.terminal.write(Stream::Out, &text);
        }
    }

    fn end_line(&mut self) {
        if !self.at_line_start {
            self.print("\n");
        }
    }
}
