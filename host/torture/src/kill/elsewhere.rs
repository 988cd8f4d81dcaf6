//! A process beside the one that dies, on the same data directory: it answers what others ask, and goes on with a run where they can't.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use sandbar::protocol::Answerers;
use sandbar::store::SuspensionSummary;
use sandbar::{Answered, Attended, Runtime};

use super::child::{Session, answer};
use super::world::SCENES;

/// How often it looks for questions.
const LOOKS: Duration = Duration::from_millis(5);

/// Until the input ends.
pub(super) async fn answer_others(runtime: &Runtime, server: SocketAddr) -> Result<()> {
    let mut ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let mut looks = tokio::time::interval(LOOKS);
    loop {
        tokio::select! {
            _ = &mut ended => return Ok(()),
            _ = looks.tick() => {}
        }
        for open in runtime.store().open_suspensions()? {
            answer_one(runtime, server, open).await?;
        }
    }
}

async fn answer_one(runtime: &Runtime, server: SocketAddr, open: SuspensionSummary) -> Result<()> {
    let (session, run) = (open.session.as_str(), open.run.as_str());
    // What is left to a successor is not for this one.
    let Some(scene) = SCENES.iter().find(|scene| scene.session == session && !scene.left) else {
        return Ok(());
    };
    let said = answer(&open.suspension, session, run, server).await?;
    let mut session = Session::new(runtime, scene, server)?;
    let id = &open.suspension.id;
    match runtime.answer(id, said, Answerers::Operator, Attended::Nobody).await {
        Ok(Answered::Resumed(stream)) => session.read(*stream).await,
        Ok(Answered::Left { .. }) => Ok(()),
        Err(error) if error.code == "session-busy" => Ok(()),
        Err(error) => session.give_way(error).await,
    }
}
