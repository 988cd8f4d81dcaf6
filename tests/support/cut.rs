//! Runs that were cut off: what the journal has when a process dies after so many events.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbar::Runtime;
use sandbar::protocol::{Event, EventBody, SessionId, SuspensionKind};
use sandbar::store::{NewSession, NewWorkspace, Store, StoreOptions};
use serde_json::Value;

use crate::support::world::World;

/// A session as it was committed.
#[derive(Debug)]
pub(crate) struct Recording {
    session: NewSession,
    workspace: NewWorkspace,
    pub(crate) events: Vec<Event>,
}

impl Recording {
    pub(crate) fn of(runtime: &Runtime, session: &SessionId) -> Self {
        let store = runtime.store();
        let summary = store.session(session).unwrap().unwrap();
        let workspace = store.workspace(&summary.workspace.clone().unwrap()).unwrap().unwrap();
        Self {
            session: NewSession {
                id: summary.id,
                agent: summary.agent,
                workspace: summary.workspace,
            },
            workspace: NewWorkspace {
                id: workspace.id,
                kind: workspace.kind,
                path: workspace.path,
            },
            events: store.events(session, 0, 10_000).unwrap(),
        }
    }

    /// Writes the first events into the world's data directory, which has nothing yet.
    pub(crate) async fn cut(&self, world: &World, events: usize) {
        self.cut_slowly(world, events, Duration::ZERO).await;
    }

    /// The same of a session that shares a workspace with one that was written before.
    pub(crate) async fn cut_beside(&self, world: &World, events: usize) {
        self.write(world, events, Duration::ZERO, None).await;
    }

    /// The same as `cut`, with so much time before each event.
    pub(crate) async fn cut_slowly(&self, world: &World, events: usize, time: Duration) {
        self.write(world, events, time, Some(self.workspace.clone())).await;
    }

    async fn write(&self, world: &World, events: usize, time: Duration, workspace: Option<NewWorkspace>) {
        let options = StoreOptions {
            clock: world.clock(),
            ..StoreOptions::default()
        };
        let store = Store::open(&world.data(), options).unwrap();
        let writer = store.begin_session(self.session.clone(), workspace).unwrap();
        for event in &self.events[..events] {
            world.forward(time);
            writer.append(&event.run, event.body.clone()).await.unwrap();
        }
        writer.flush().await.unwrap();
        writer.close().await.unwrap();
    }

    /// How many events there are up to the first that `is` one, with it.
    pub(crate) fn up_to(&self, is: impl Fn(&EventBody) -> bool) -> usize {
        let found = self.events.iter().position(|event| is(&event.body));
        found.expect("it is in the recording") + 1
    }
}

/// What happened, sorted, without what differs where a run was cut off: times, further attempts, and that it was continued.
pub(crate) fn essence(events: &[Event]) -> Vec<String> {
    let mended: BTreeSet<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Suspended(asked) if asked.kind == SuspensionKind::UnknownOutcome => Some(asked.id.clone()),
            _ => None,
        })
        .collect();
    let counts = |body: &EventBody| match body {
        EventBody::Suspended(asked) => !mended.contains(&asked.id),
        EventBody::Resumed { suspension, .. } => suspension.as_ref().is_some_and(|id| !mended.contains(id)),
        EventBody::ModelStarted { attempt, .. }
        | EventBody::ToolStarted { attempt, .. }
        | EventBody::DelegateStarted { attempt, .. } => *attempt == 1,
        _ => true,
    };
    let mut essence: Vec<String> = events
        .iter()
        .filter(|event| counts(&event.body))
        .map(|event| {
            let mut body = serde_json::to_value(&event.body).unwrap();
            timeless(&mut body);
            for part in ["/result", "/setup/limits"] {
                body.pointer_mut(part).into_iter().for_each(timeless);
            }
            format!("{} {body}", event.run)
        })
        .collect();
    essence.sort();
    essence
}

fn timeless(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !["ms", "ms_left", "wall_ms", "expires_ms"].contains(&name.as_str()));
    }
}
