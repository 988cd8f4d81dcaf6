//! Following a run to its end, and what an interrupt does to it.

use sandbar::RunStream;
use sandbar::protocol::{Error, ErrorKind, EventBody, Result, RunResult, StreamItem};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::terminal::Terminal;

/// Shows every item and gives the result. The first interrupt cancels the run, which then ends by itself; the second one ends the
/// program.
pub(crate) async fn watch(
    mut stream: RunStream,
    terminal: &Terminal,
    mut show: impl FnMut(&StreamItem),
) -> Outcome<RunResult> {
    let mut interrupts = Interrupts::new()?;
    let mut cancelled = false;
    let mut result = None;
    loop {
        tokio::select! {
            item = stream.next() => match item {
                Some(item) => {
                    let item = item?;
                    show(&item);
                    if let StreamItem::Event(event) = &item
                        && let EventBody::RunFinished(finished) = &event.body
                    {
                        result = Some(finished.clone());
                    }
                }
                None => break,
            },
            () = interrupts.next() => {
                if cancelled {
                    std::process::exit(Exit::Interrupted as i32);
                }
                cancelled = true;
                terminal.note("cancelling; interrupt again to quit at once");
                stream.cancel();
            }
        }
    }
    result.ok_or_else(|| Error::new(ErrorKind::Internal, "run-lost", "the run ended without saying how").into())
}

/// For `--json`: every event as the journal has it, and previews.
pub(crate) fn show_as_json(terminal: &Terminal, item: &StreamItem) {
    match item {
        StreamItem::Event(event) => terminal.json_line(event.as_ref()),
        StreamItem::Delta(delta) => terminal.json_line(delta.as_ref()),
    }
}

/// What a terminal sends for Ctrl-C, and what a supervisor sends to stop a program.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn new() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Error::new(
                    ErrorKind::Internal,
                    "no-signals",
                    format!("signals can't be received: {error}"),
                )
                .with_source(error)
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
