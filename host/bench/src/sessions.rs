//! Many sessions at once, each with two model calls of 50 ms over loopback HTTP, against the bare client doing the same.

use crate::table::Table;

pub(crate) async fn rows(_table: &mut Table) -> anyhow::Result<()> {
    Ok(())
}
