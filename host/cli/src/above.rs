//! The runs that wait for a delegated one: they go on by themselves when it has ended, and are shown then.

use sandbar::protocol::{EventBody, Result, RunId, RunResult, StopReason, StreamItem};
use sandbar::store::{RunSummary, Store};

use crate::options::Options;
use crate::style::Style;
use crate::terminal::{Stream, Terminal};
use crate::transcript::Transcript;
use crate::waiting;
use crate::watch::show_as_json;

/// The runs above one, the nearest first, and how many events the session of each has now.
pub(crate) fn runs(store: &Store, run: &RunId) -> Result<Vec<(RunSummary, u64)>> {
    let mut above = Vec::new();
    let mut parent = store.run(run).ok().and_then(|run| run.parent);
    while let Some(run) = parent.map(|parent| store.run(&parent)).transpose()? {
        let events = store.session(&run.session)?.map_or(0, |session| session.events);
        parent = run.parent.clone();
        above.push((run, events));
    }
    above.retain(|(run, _)| run.stop_reason.is_none());
    Ok(above)
}

/// Shows how they go on, until one has to wait; gives the result of the last that has ended.
pub(crate) async fn show(
    above: Vec<(RunSummary, u64)>,
    mut result: RunResult,
    store: &Store,
    options: &Options,
    terminal: &Terminal,
) -> Result<RunResult> {
    for (run, after) in above {
        if !terminal.json {
            let text = format!("{} goes on, which waited for that", run.id);
            terminal.note(&format!("  {}", terminal.paint(Stream::Err).with(Style::Dim, &text)));
        }
        let mut transcript = Transcript::new(Stream::Err, terminal.paint(Stream::Err));
        let mut events = store.follow(&run.session, after);
        let mut ended = None;
        while let Some(event) = events.next().await {
            let event = event?;
            if let EventBody::RunFinished(found) = &event.body
                && event.run == run.id
            {
                ended = Some(found.clone());
            }
            match terminal.json {
                true => show_as_json(terminal, &StreamItem::Event(event)),
                false => transcript.show(&StreamItem::Event(event), terminal),
            }
        }
        match ended {
            Some(ended) => result = ended,
            None => {
                waiting::tell(store, &run.id, options, terminal)?;
                return Ok(RunResult {
                    stop_reason: StopReason::Suspended,
                    ..result
                });
            }
        }
    }
    Ok(result)
}
