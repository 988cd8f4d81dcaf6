//! `cargo xtask bench`: what Sandbar costs, each row beside its own baseline in the same run. Prints tables, tests nothing.
//!
//! Arguments: the directory with the sample components of `tests/guests`. Rows that need a process of their own start this program again.

#![expect(clippy::print_stdout, reason = "printing the tables is what this program is for")]

mod answers;
mod bare_sqlite;
mod beside;
mod calls;
mod history;
mod journal;
mod measure;
mod memory;
mod recovery;
mod sessions;
mod start;
mod table;
mod turns;
mod world;

use std::path::PathBuf;

use anyhow::Context;

use crate::table::Table;

fn main() -> anyhow::Result<()> {
    sandbar::worker_entry();
    let mut arguments = std::env::args().skip(1);
    let first = arguments
        .next()
        .context("usage: sandbar-bench <directory with the sample components>")?;
    if first == memory::CHILD {
        return memory::child(arguments);
    }
    let guests = PathBuf::from(first);
    let only = arguments.next();
    let runtime = sandbar::threads().build()?;
    let mut table = Table::default();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("calls") {
        runtime.block_on(calls::rows(&guests, &mut table))?;
    }
    for (group, journal) in turns::GROUPS {
        if wanted("turns") || wanted(group) {
            runtime.block_on(turns::row(&guests, journal, &mut table))?;
        }
    }
    if wanted("history") {
        runtime.block_on(history::rows(&mut table))?;
    }
    if wanted("journal") {
        runtime.block_on(journal::rows(&mut table))?;
    }
    if wanted("recovery") {
        runtime.block_on(recovery::rows(&guests, &mut table))?;
        runtime.block_on(answers::rows(&guests, &mut table))?;
    }
    if wanted("sessions") {
        runtime.block_on(sessions::rows(&guests, &mut table))?;
    }
    if wanted("beside") {
        runtime.block_on(beside::rows(&guests, &mut table))?;
    }
    if wanted("start") {
        runtime.block_on(start::rows(&guests, &mut table))?;
    }
    if wanted("memory") {
        memory::rows(&mut table)?;
    }
    println!("{}", measure::machine());
    println!("{table}");
    Ok(())
}
