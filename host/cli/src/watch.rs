//! Following a run to its end, or to where it waits, and what an interrupt does to it.

use sandbar::protocol::{EventBody, Result, RunResult, StreamItem};
use sandbar::{RunStream, Runtime};

use crate::consent::{Calls, Decision, Desk, Presence, Scene, Unobserved};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::interrupts::Interrupts;
use crate::terminal::Terminal;

/// Shows every item and gives the result. The first interrupt cancels the run, which then ends by itself; the second one ends the
/// program.
pub(crate) async fn watch(
    stream: RunStream,
    runtime: &Runtime,
    terminal: &Terminal,
    show: impl FnMut(&StreamItem),
) -> Outcome<RunResult> {
    let mut desk = Desk::new(Presence::Nobody);
    watch_and_answer(stream, runtime, terminal, &mut desk, &mut Unobserved, show).await
}

/// The same for a run whose questions arrive at a desk. Nothing is shown while a question is open.
pub(crate) async fn watch_and_answer(
    mut stream: RunStream,
    runtime: &Runtime,
    terminal: &Terminal,
    desk: &mut Desk,
    calls: &mut dyn Calls,
    show: impl FnMut(&StreamItem),
) -> Outcome<RunResult> {
    let mut interrupts = Interrupts::new()?;
    let mut cancelled = false;
    let mut shown = Shown { show };
    let session = stream.session().clone();
    let scene = Scene {
        session: &session,
        store: runtime.store(),
        terminal,
    };
    loop {
        let cancel = tokio::select! {
            item = stream.next() => match item {
                Some(item) => {
                    shown.take(&item?, calls);
                    false
                }
                None => break,
            },
            () = interrupts.next() => {
                if cancelled {
                    std::process::exit(Exit::Interrupted as i32);
                }
                true
            }
            question = desk.next() => {
                shown.catch_up(&mut stream, calls).await?;
                if cancelled {
                    desk.leave(question);
                    continue;
                }
                desk.decide(question, &scene, &mut interrupts, calls).await == Decision::Stop
            }
        };
        if cancel {
            cancelled = true;
            terminal.note("cancelling; interrupt again to quit at once");
            stream.cancel();
        }
    }
    desk.clear();
    Ok(stream.result().await?)
}

/// What has been shown of a run.
struct Shown<F> {
    show: F,
}

impl<F: FnMut(&StreamItem)> Shown<F> {
    fn take(&mut self, item: &StreamItem, calls: &mut dyn Calls) {
        (self.show)(item);
        let StreamItem::Event(event) = item else { return };
        if let EventBody::ToolStarted {
            call_id,
            name,
            arguments,
            refused: false,
            ..
        } = &event.body
        {
            calls.begun(call_id, name, arguments);
        }
    }

    /// Shows what led to the question that waits: it was committed before, and so is there.
    async fn catch_up(&mut self, stream: &mut RunStream, calls: &mut dyn Calls) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                item = stream.next() => match item {
                    Some(item) => self.take(&item?, calls),
                    None => return Ok(()),
                },
                () = std::future::ready(()) => return Ok(()),
            }
        }
    }
}

/// For `--json`: every event as the journal has it, and previews.
pub(crate) fn show_as_json(terminal: &Terminal, item: &StreamItem) {
    match item {
        StreamItem::Event(event) => terminal.json_line(event.as_ref()),
        StreamItem::Delta(delta) => terminal.json_line(delta.as_ref()),
    }
}
