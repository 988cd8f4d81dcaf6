//! How much one mount or workspace may put into its directory, and what is said when that is too little.

use std::sync::{Arc, OnceLock};

use sandbar_protocol::Denial;

use super::directory::{Counted, Directory, Growth, Limit, OpenNode, Write};
use super::guard::Guard;
use crate::own_places::OwnPlaces;
use crate::workspace::{Place, Room};

/// What one who sees a directory may put there. Several may see the same directory, each with a quota of its own: each is refused what would be
/// too much by its own.
#[derive(Debug)]
pub(crate) struct Quota {
    pub(super) directory: Arc<Directory>,
    place: Place,
    limit: Limit,
    guard: OnceLock<Option<Guard>>,
}

/// A guest wrote more than there is room for.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Quota {
    pub(crate) fn new(directory: Arc<Directory>, room: Room) -> Self {
        let of = match room.place {
            Place::Workspace | Place::Mount(_) => Counted::Added,
            Place::OwnWorkspace | Place::MountWithQuota(_) => Counted::Everything,
        };
        let limit = Limit { bytes: room.bytes, of };
        if of == Counted::Everything {
            directory.count_up_to(limit.bytes);
        }
        Self {
            directory,
            place: room.place,
            limit,
            guard: OnceLock::new(),
        }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What is looked at for each name, if something of Sandbar's own lies in the directory. A directory belongs to one host, whose places
    /// don't change.
    pub(super) fn guard(&self, places: &Arc<OwnPlaces>) -> Option<&Guard> {
        let guard = self
            .guard
            .get_or_init(|| Guard::around(self.directory.handle(), places));
        guard.as_ref()
    }

    /// Whether others than the guests of this process are expected to change what is there.
    pub(super) fn counts_again(&self) -> bool {
        matches!(self.place, Place::MountWithQuota(_))
    }

    pub(super) fn take_entry(&self) -> bool {
        self.directory.take_entry(self.limit)
    }

    pub(super) fn write(&self, node: &Arc<OpenNode>, growth: Growth) -> Option<Write> {
        node.write(growth, self.limit)
    }

    /// For the person who decides about grants; the guest is told the code `quota`.
    pub(super) fn denial(&self, plugin: &str) -> Denial {
        let mib = self.limit.bytes >> 20;
        let whole = match self.limit.of {
            Counted::Everything => ", for all that is in it",
            Counted::Added => "",
        };
        // Twice as much is a line to copy; how much is right is the person's to say.
        let more = mib.saturating_mul(2);
        let (place, key, mend) = match &self.place {
            Place::Workspace | Place::OwnWorkspace => ("the workspace".to_owned(), SHARED, shared(more)),
            Place::Mount(name) => (format!("the mount `{name}`"), SHARED, shared(more)),
            Place::MountWithQuota(name) => (
                format!("the mount `{name}`"),
                "quota_mib",
                format!(
                    "# in sandbar.toml, `[grants.{plugin}]`, the mount `{name}`; or remove files there\nquota_mib = {more}"
                ),
            ),
        };
        Denial {
            reason: format!("the plugin `{plugin}` may not put more into {place}: `{key}` is {mib}{whole}"),
            mend: Some(mend),
        }
    }
}

const SHARED: &str = "limits.workspace_mib";

fn shared(mib: u64) -> String {
    format!("# in sandbar.toml\n[limits]\nworkspace_mib = {mib}")
}

impl std::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is no more room for this plugin in the directory")
    }
}

impl std::error::Error for NoRoom {}
