//! Following a run to its end, and what an interrupt does to it.

use sandbar::protocol::{Error, ErrorKind, EventBody, Result, RunResult, StreamItem};
use sandbar::store::Store;
use sandbar::{RunStream, Runtime};

use crate::consent::{BeforeCall, Decision, Desk};
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
    watch_and_answer(stream, runtime, terminal, &mut Desk::new(None), &mut |_, _| {}, show).await
}

/// The same for a run whose questions arrive at a desk. Nothing is shown while a question is open.
pub(crate) async fn watch_and_answer(
    mut stream: RunStream,
    runtime: &Runtime,
    terminal: &Terminal,
    desk: &mut Desk,
    before_call: BeforeCall<'_>,
    show: impl FnMut(&StreamItem),
) -> Outcome<RunResult> {
    let mut interrupts = Interrupts::new()?;
    let mut cancelled = false;
    let mut shown = Shown {
        show,
        sequence: 0,
        result: None,
    };
    loop {
        let cancel = tokio::select! {
            item = stream.next() => match item {
                Some(item) => {
                    shown.take(&item?);
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
                shown.catch_up(&mut stream, runtime.store()).await?;
                if cancelled {
                    desk.leave(question);
                    continue;
                }
                let session = stream.session();
                desk.decide(question, session, &mut interrupts, terminal, before_call).await == Decision::Stop
            }
        };
        if cancel {
            cancelled = true;
            terminal.note("cancelling; interrupt again to quit at once");
            stream.cancel();
        }
    }
    desk.clear();
    let lost = || Error::new(ErrorKind::Internal, "run-lost", "the run ended without saying how");
    Ok(shown.result.ok_or_else(lost)?)
}

/// What has been shown of a run.
struct Shown<F> {
    show: F,
    /// Of the last event.
    sequence: u64,
    result: Option<RunResult>,
}

impl<F: FnMut(&StreamItem)> Shown<F> {
    fn take(&mut self, item: &StreamItem) {
        (self.show)(item);
        if let StreamItem::Event(event) = item {
            self.sequence = event.sequence;
            if let EventBody::RunFinished(finished) = &event.body {
                self.result = Some(finished.clone());
            }
        }
    }

    /// Shows what is in the journal: it led to the question that waits.
    async fn catch_up(&mut self, stream: &mut RunStream, store: &Store) -> Result<()> {
        let head = store.session(stream.session())?.map_or(0, |session| session.events);
        while self.sequence < head {
            match stream.next().await {
                Some(item) => self.take(&item?),
                None => break,
            }
        }
        Ok(())
    }
}

/// For `--json`: every event as the journal has it, and previews.
pub(crate) fn show_as_json(terminal: &Terminal, item: &StreamItem) {
    match item {
        StreamItem::Event(event) => terminal.json_line(event.as_ref()),
        StreamItem::Delta(delta) => terminal.json_line(delta.as_ref()),
    }
}
