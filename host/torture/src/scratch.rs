//! Directories for one state each: in memory where the system offers it, because what is durable is played and not left to the disk.

use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// Where Linux keeps files in memory.
const IN_MEMORY: &str = "/dev/shm";

pub(crate) fn directory() -> Result<TempDir> {
    TempDir::new_in(Path::new(IN_MEMORY))
        .or_else(|_| TempDir::new())
        .context("a temporary directory can't be made")
}
