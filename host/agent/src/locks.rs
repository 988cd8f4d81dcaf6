//! Who may touch what in a workspace, in the order of asking; shared by all sessions of a process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbar_protocol::WorkspaceId;
use tokio::sync::oneshot;

use crate::resource::Access;

/// The calls that run or wait, by workspace.
#[derive(Debug, Clone, Default)]
pub struct ResourceLocks(Arc<Mutex<HashMap<WorkspaceId, Vec<Entry>>>>);

#[derive(Debug)]
struct Entry {
    ticket: u64,
    access: Access,
    /// None: it runs.
    waiting: Option<oneshot::Sender<()>>,
}

/// A place in the queue, then the lock; dropping it gives way to those behind.
#[derive(Debug)]
pub(crate) struct Ticket {
    locks: ResourceLocks,
    workspace: WorkspaceId,
    number: u64,
    granted: Option<oneshot::Receiver<()>>,
}

impl ResourceLocks {
    /// Queues at once, so that calls are served in the order in which they were asked for.
    pub(crate) fn queue(&self, workspace: &WorkspaceId, access: Access) -> Ticket {
        let mut locks = self.lock();
        let entries = locks.entry(workspace.clone()).or_default();
        let number = entries.last().map_or(0, |entry| entry.ticket + 1);
        let conflict = entries.iter().any(|entry| entry.access.conflicts_with(&access));
        let (waiting, granted) = if conflict {
            let (sender, receiver) = oneshot::channel();
            (Some(sender), Some(receiver))
        } else {
            (None, None)
        };
        entries.push(Entry {
            ticket: number,
            access,
            waiting,
        });
        Ticket {
            locks: self.clone(),
            workspace: workspace.clone(),
            number,
            granted,
        }
    }

    fn release(&self, workspace: &WorkspaceId, ticket: u64) {
        let mut locks = self.lock();
        let Some(entries) = locks.get_mut(workspace) else {
            return;
        };
        entries.retain(|entry| entry.ticket != ticket);
        for index in 0..entries.len() {
            let (before, rest) = entries.split_at_mut(index);
            let entry = &mut rest[0];
            if before
                .iter()
                .any(|earlier| earlier.access.conflicts_with(&entry.access))
            {
                continue;
            }
            if let Some(waiting) = entry.waiting.take() {
                // Whoever waited may have gone; its ticket's drop removes the entry.
                let _ = waiting.send(());
            }
        }
        if entries.is_empty() {
            locks.remove(workspace);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Vec<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits until nothing that was asked for earlier is in the way.
    pub(crate) async fn granted(&mut self) {
        if let Some(granted) = self.granted.take() {
            // The sender is in the entry, which lives as long as this ticket.
            let _ = granted.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.locks.release(&self.workspace, self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use sandbar_protocol::ToolTraits;
    use serde_json::json;

    use super::*;

    #[test]
    fn writers_of_one_file_take_turns_and_readers_share() {
        let locks = ResourceLocks::default();
        let workspace = WorkspaceId::parse("w").unwrap();
        let queue = |read_only, path: &str| {
            let traits = ToolTraits {
                read_only,
                resource: Some("file:{/path}".to_owned()),
                ..ToolTraits::default()
            };
            locks.queue(&workspace, Access::of(&traits, &json!({ "path": path })))
        };
        let mut tickets = [
            queue(true, "a"),
            queue(true, "a"),
            queue(false, "a"),
            queue(true, "a"),
            queue(false, "b"),
        ];
        let granted = |tickets: &mut [Ticket]| -> Vec<bool> {
            tickets
                .iter_mut()
                .map(|ticket| ticket.granted.as_mut().is_none_or(|g| g.try_recv().is_ok()))
                .collect()
        };
        assert_eq!(granted(&mut tickets), [true, true, false, false, true]);
        let [first, second, mut third, mut fourth, _fifth] = tickets;
        drop(first);
        assert!(third.granted().now_or_never().is_none());
        third.granted = None;
        drop(second);
        drop(third);
        assert!(fourth.granted().now_or_never().is_some());
    }
}
