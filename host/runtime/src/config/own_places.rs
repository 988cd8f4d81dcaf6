//! Directories that can't be given to plugins, by the places in the configuration where they are.

use super::Config;
use super::resolve::Resolution;
use crate::own_places::{HINT, misplaced};

/// Refuses a workspace and mounts that are in Sandbar's own places, or the system's.
pub(super) fn check(config: &Config, resolution: &mut Resolution) {
    let workspace = config.workspace.iter().map(|path| ("workspace".to_owned(), path));
    let mounts = config.grants.iter().flat_map(|(plugin, grant)| {
        let mounts = grant.mounts.iter().enumerate();
        mounts.map(move |(index, mount)| (format!("grants.{plugin}.mounts[{index}].path"), &mount.path))
    });
    for (key, path) in workspace.chain(mounts) {
        // What isn't there is told already.
        if !path.is_dir() {
            continue;
        }
        if let Some(why) = misplaced(path, config) {
            let message = format!(
                "`{key}` is `{}`, which {why}: no plugin can be given that",
                path.display()
            );
            resolution.problem(&key, "own-place", &message, HINT);
        }
    }
}
