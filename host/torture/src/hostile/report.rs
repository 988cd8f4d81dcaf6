//! What was found, as tables.

use std::fmt;
use std::time::Duration;

use super::compiling::Loaded;
use super::gauge::Times;
use super::trial::Ran;
use super::world::{BUDGET_MIB, CPU_MS, MEMORY_MIB, WALL_MS};
use crate::table::Table;

/// Goals. What is late is told, and is no violation: it says something of the machine, too.
const LATE: Duration = Duration::from_millis(5);
const OVERRUN: Duration = Duration::from_millis(25);
const REFUSED_WITHIN: Duration = Duration::from_secs(15);
/// What the process may need more for a component that it refuses without running it.
const PARENT_BYTES: u64 = 16 << 20;
/// For one that it has asked what it is: the memory of an instance in `describe`.
const DESCRIBED_BYTES: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Report {
    count: usize,
    /// What else the machine had to do when it began.
    load: String,
    pub(crate) idle: Times,
    pub(crate) loaded: Vec<Loaded>,
    pub(crate) ran: Vec<Ran>,
}

impl Report {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count,
            load: load(),
            idle: Times::default(),
            loaded: Vec::new(),
            ran: Vec::new(),
        }
    }

    /// Whether everything was contained.
    pub(crate) fn passed(&self) -> bool {
        self.violations().is_empty()
    }

    /// What must not be, whatever the machine.
    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for loaded in self.loaded.iter().filter(|loaded| !loaded.well) {
            found.push(format!("`{}` ended as {}", loaded.attack.name, loaded.ended));
        }
        for ran in &self.ran {
            let name = ran.attack.name;
            if !ran.alone_well {
                found.push(format!("`{name}` alone ended as {}", ran.alone));
            }
            if ran.together_wrong > 0 {
                found.push(format!(
                    "{} of `{name}` at once ended in another way: {:?}",
                    ran.together_wrong, ran.together
                ));
            }
            if !ran.honest_failed.is_empty() {
                found.push(format!(
                    "beside `{name}` honest runs failed: {}",
                    ran.honest_failed.join(", ")
                ));
            }
            if ran.grown > budget() {
                found.push(format!("`{name}` took {} of memory", mib(ran.grown)));
            }
        }
        found
    }

    /// Goals that were missed.
    fn misses(&self) -> Vec<String> {
        let mut found = Vec::new();
        for loaded in &self.loaded {
            let name = loaded.attack.name;
            if loaded.took > REFUSED_WITHIN {
                found.push(format!("`{name}` was refused after {}", show(loaded.took)));
            }
            let most = if loaded.has_run() {
                DESCRIBED_BYTES
            } else {
                PARENT_BYTES
            };
            if loaded.grown > most {
                found.push(format!("`{name}` cost this process {}", mib(loaded.grown)));
            }
        }
        for ran in &self.ran {
            let name = ran.attack.name;
            if ran.lateness.percentile(99) > self.idle.percentile(99) + LATE {
                found.push(format!(
                    "beside `{name}` the timer was {} late (p99)",
                    show(ran.lateness.percentile(99))
                ));
            }
            if ran.overrun.percentile(99) > OVERRUN {
                found.push(format!(
                    "`{name}` ran {} over its limit (p99)",
                    show(ran.overrun.percentile(99))
                ));
            }
        }
        found
    }

    fn tables(&self) -> String {
        let mut loaded = Table::new(&[
            "component",
            "attack",
            "ends as",
            "after",
            "memory of the host",
            "what it meets",
        ]);
        for row in &self.loaded {
            loaded.row([
                format!("`{}`", row.attack.name),
                row.attack.does.to_owned(),
                format!("`{}`", row.ended),
                show(row.took),
                mib(row.grown),
                row.attack.meets.to_owned(),
            ]);
        }
        let mut ran = Table::new(&[
            "component",
            "attack",
            "alone",
            "at once",
            "honest runs beside it, failed",
            "each, p50 / p99",
            "timer late, p99 / longest",
            "over its limit, p99",
            "memory",
            "a wave took",
            "what it meets",
        ]);
        for row in &self.ran {
            let together: Vec<String> = row
                .together
                .iter()
                .map(|(code, count)| format!("{count} `{code}`"))
                .collect();
            ran.row([
                format!("`{}`", row.attack.name),
                row.attack.does.to_owned(),
                format!("`{}`", row.alone),
                format!("{} in {}", together.join(", "), waves(row.waves)),
                format!("{}, {}", row.honest, row.honest_failed.len()),
                format!(
                    "{} / {}",
                    show(row.honest_times.percentile(50)),
                    show(row.honest_times.percentile(99))
                ),
                format!(
                    "{} / {}",
                    show(row.lateness.percentile(99)),
                    show(row.lateness.longest())
                ),
                show(row.overrun.percentile(99)),
                mib(row.grown),
                show(row.took),
                row.attack.meets.to_owned(),
            ]);
        }
        format!("## In the directory of plugins\n\n{loaded}\n## At work\n\n{ran}")
    }

    /// The document.
    pub(crate) fn page(&self) -> String {
        format!(
            "# Hostile components\n\nWritten by `cargo xtask torture hostile --write docs/reference/hostile.md`. Each component below does one \
             thing that a plugin must not be able to do; its source is in `tests/guests/hostile/`, or it is generated by \
             `host/torture/src/bombs.rs`, and the table of what must come of it is `host/torture/src/attacks.rs`. `cargo xtask test` begins each \
             of them, too (`tests/hostile.rs`).\n\n{self}"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Limits here: {CPU_MS} ms of processor time, {WALL_MS} ms on the clock, {MEMORY_MIB} MiB each, {BUDGET_MIB} MiB together. \
             {} at once, in as many sessions, again and again for a second at least, and beside them an honest session that calls a tool every few milliseconds. Without an \
             attack the host's timer is {} late (p99; longest {}). The load of the machine was {} when it began.\n",
            self.count,
            show(self.idle.percentile(99)),
            show(self.idle.longest()),
            self.load
        )?;
        writeln!(f, "{}", self.tables())?;
        for (title, lines) in [
            ("Violations", self.violations()),
            ("Goals that were missed", self.misses()),
        ] {
            writeln!(f, "## {title}\n")?;
            match lines.is_empty() {
                true => writeln!(f, "None.\n")?,
                false => writeln!(f, "- {}\n", lines.join("\n- "))?,
            }
        }
        writeln!(
            f,
            "Goals: the timer at most {} later than without an attack (p99), a call ends at most {} after its first limit (p99), a file is \
             refused within {} and costs the host at most {}, or {} where its `describe` was called. The memory of the process may grow by what all guests together may have and a tenth.",
            show(LATE),
            show(OVERRUN),
            show(REFUSED_WITHIN),
            mib(PARENT_BYTES),
            mib(DESCRIBED_BYTES)
        )
    }
}

/// Of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn budget() -> u64 {
    (BUDGET_MIB << 20) / 10 * 11
}

fn waves(count: u32) -> String {
    match count {
        1 => "one wave".to_owned(),
        count => format!("{count} waves"),
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn show(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ..1_000.0 => format!("{ms:.1} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}
