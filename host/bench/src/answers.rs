//! A thousand runs that wait for an approval, answered at once, beside the same runs where nothing asks.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbar::protocol::{Answer, Answerers, RunRequest, StopReason, SuspensionId};
use sandbar::{Answered, Attended, Journal, Runtime};
use serde_json::json;
use tokio::task::JoinSet;

use crate::measure::{median, process_cpu, ratio, show};
use crate::table::Table;
use crate::world::{ECHO_AGENT, World, turn, turns_script};

const RUNS: u32 = 1_000;
const ROUNDS: usize = 3;

pub(crate) async fn rows(guests: &Path, table: &mut Table) -> anyhow::Result<()> {
    let script = turns_script(1);
    let free = World::new(guests, &["echo"], ECHO_AGENT, &script)?;
    let asks = format!("{ECHO_AGENT}[consent.tools]\n\"echo__echo\" = \"ask\"\n");
    let asks = World::new(guests, &["echo"], &asks, &script)?;
    let (free, asks) = (free.open(Journal::Disk).await?, asks.open(Journal::Disk).await?);
    let (mut through, mut until_asked, mut answered) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let runs = (0..RUNS).map(|_| go_through(free.clone()));
        through.round(runs).await?;
        let runs = (0..RUNS).map(|_| ask(asks.clone()));
        until_asked.round(runs).await?;
        let open = asks.store().open_suspensions()?;
        anyhow::ensure!(open.len() == RUNS as usize, "{} runs wait", open.len());
        let runs = open.into_iter().map(|open| approve(asks.clone(), open.suspension.id));
        answered.round(runs).await?;
    }
    let (answered_time, through_time) = (median(&mut answered.times), median(&mut through.times));
    table.row(
        "1,000 runs that wait for an approval, in sessions of their own, answered at once, durable",
        format!(
            "{}; until all of them waited: {}",
            answered.show(),
            show(median(&mut until_asked.times))
        ),
        format!(
            "1,000 runs of the same work at once, where nothing asks: {}",
            through.show()
        ),
        ratio(answered_time, through_time),
        "–",
    );
    free.close().await;
    asks.close().await;
    Ok(())
}

/// A thousand of something at once, some times over.
#[derive(Default)]
struct Rounds {
    times: Vec<Duration>,
    cpu: Duration,
}

impl Rounds {
    async fn round<F>(&mut self, all: impl Iterator<Item = F>) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let (started, cpu) = (Instant::now(), process_cpu());
        for one in all {
            tasks.spawn(one);
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        self.times.push(started.elapsed());
        self.cpu += process_cpu() - cpu;
        Ok(())
    }

    fn show(&mut self) -> String {
        let all = median(&mut self.times);
        let rounds = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        format!(
            "all done in {}, {} each, CPU {} each",
            show(all),
            show(all / RUNS),
            show(self.cpu / rounds.max(1) / RUNS)
        )
    }
}

async fn go_through(runtime: Runtime) -> anyhow::Result<()> {
    turn(&runtime, None).await.map(|_| ())
}

async fn ask(runtime: Runtime) -> anyhow::Result<()> {
    let result = runtime.run(RunRequest::new("go")).await?.result().await?;
    anyhow::ensure!(result.stop_reason == StopReason::Suspended, "{result:?}");
    Ok(())
}

async fn approve(runtime: Runtime, id: SuspensionId) -> anyhow::Result<()> {
    let answer = Answer {
        value: json!({ "decision": "once" }),
        by: "bench".to_owned(),
    };
    let answered = runtime
        .answer(&id, answer, Answerers::Operator, Attended::Nobody)
        .await?;
    let Answered::Resumed(stream) = answered else {
        anyhow::bail!("nobody else has these sessions: {answered:?}");
    };
    let result = stream.result().await?;
    anyhow::ensure!(result.stop_reason == StopReason::Finished, "{result:?}");
    Ok(())
}
