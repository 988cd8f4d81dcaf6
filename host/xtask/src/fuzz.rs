//! `cargo xtask torture fuzz`: the programs of `host/fuzz/libfuzzer`, several beside each other, each from its seeds.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Output;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use crate::fuzz_report::{Ended, table};
use crate::invocation::Invocation;
use crate::project::Project;

/// Where the programs are, below the root.
const PROGRAMS: &str = "host/fuzz/libfuzzer";
const SEEDS: &str = "host/fuzz/seeds";
/// Where inputs are kept that were found, for the next time.
const FOUND: &str = "target/fuzz";
/// Where inputs are kept that broke something, by target.
const BROKE: &str = "host/fuzz/libfuzzer/artifacts";

/// What is allocated where is no finding here, and to remember it takes as long as the rest. Functions of SQLite have constants of the same
/// name, which the sanitizer takes for one that is defined twice.
const SANITIZER: (&str, &str) = ("ASAN_OPTIONS", "detect_odr_violation=0:malloc_context_size=0");

/// Inputs are limited, since what takes long is found by its size alone; those that are read as choices end sooner.
const MAX_LEN: u32 = 4096;
const SHORTER: [(&str, u32); 2] = [("policy", 128), ("protected", 256)];

/// Fuzz what reads bytes of others: names, URLs, manifests, grants, rows of the journal, arguments.
///
/// All programs are built first, then so many of them run at a time. What each has found is told when it has ended, and in a table at the end.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask torture fuzz", bin_name = "cargo xtask torture fuzz")]
pub(crate) struct Fuzz {
    /// How long each target runs.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=24 * 60))]
    minutes: u32,
    /// Less than a minute: to see that it works.
    #[arg(long, conflicts_with = "minutes", value_parser = clap::value_parser!(u32).range(1..60))]
    seconds: Option<u32>,
    /// One of the targets; all without it.
    #[arg(long)]
    target: Option<String>,
    /// How many run beside each other; as many as there are processors unless it is said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    at_once: Option<u16>,
}

impl Fuzz {
    /// From what follows `fuzz` on the command line.
    pub(crate) fn parse_after(arguments: &[String]) -> Self {
        Self::parse_from(arguments)
    }

    pub(crate) fn run(self, project: &Project) -> Result<()> {
        let targets = chosen(&targets(project)?, self.target)?;
        installed(project)?;
        build(&targets).run(&project.root)?;
        for target in &targets {
            let found = project.root.join(FOUND).join(target);
            std::fs::create_dir_all(&found).with_context(|| format!("`{}` can't be made", found.display()))?;
        }
        let seconds = self.seconds.unwrap_or(self.minutes * 60);
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let at_once = self.at_once.map_or_else(processors, usize::from).min(targets.len());
        println!(
            "\n=== fuzz: {seconds} s each, {at_once} at once: {}",
            targets.join(", ")
        );
        let mut ended = side_by_side(at_once, targets, |target| {
            let ended = run_one(&project.root, target, seconds);
            if let Ok(ended) = &ended {
                println!("{ended}");
            }
            ended
        })?;
        ended.sort_by(|one, other| one.target.cmp(&other.target));
        println!("\n{}", table(&ended));
        match ended.iter().filter_map(Ended::failure).collect::<Vec<_>>() {
            failures if failures.is_empty() => Ok(()),
            failures => bail!("{}", failures.join("\n")),
        }
    }
}

/// Does something for each item, for so many at a time, and gives what came of it once all are done; the first failure stops what hasn't
/// begun.
fn side_by_side<T: Send>(
    at_once: usize,
    items: Vec<String>,
    work: impl Fn(&str) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let waiting = Mutex::new(VecDeque::from(items));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let worker = || {
        let mut done = Vec::new();
        while let Some(item) = next() {
            let outcome = work(&item);
            if outcome.is_err() {
                waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            done.push(outcome);
        }
        done
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
        let done = workers.into_iter().flat_map(|worker| match worker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.collect()
    })
}

fn run_one(root: &Path, target: &str, seconds: u32) -> Result<Ended> {
    let begun = Instant::now();
    let Output { status, stderr, .. } = program(target, seconds).output(root)?;
    let said = String::from_utf8_lossy(&stderr);
    let ended = Ended::read(target, status.success(), &said, begun.elapsed());
    if !status.success() {
        // What it says of a crash is for the person who mends it.
        eprintln!(
            "{said}\n{target}: kept in {BROKE}/{target}; to repeat it: {}",
            program(target, seconds)
        );
    }
    Ok(ended)
}

fn build(targets: &[String]) -> Invocation {
    let build = Invocation::cargo(&["+nightly", "fuzz", "build", "--fuzz-dir", PROGRAMS]);
    let build = build.with_variable(SANITIZER.0, SANITIZER.1);
    match targets {
        [only] => build.argument(only),
        _ => build,
    }
}

/// A new input goes to the first folder.
fn program(target: &str, seconds: u32) -> Invocation {
    let max_len = SHORTER
        .iter()
        .find(|(name, _)| *name == target)
        .map_or(MAX_LEN, |(_, len)| *len);
    Invocation::cargo(&["+nightly", "fuzz", "run", "--fuzz-dir", PROGRAMS, target])
        .argument(format!("{FOUND}/{target}"))
        .argument(format!("{SEEDS}/{target}"))
        .argument("--")
        .argument(format!("-max_total_time={seconds}"))
        .argument(format!("-max_len={max_len}"))
        .argument("-timeout=10")
        // To look for a leak runs an input twice, and to name each new function starts another program.
        .argument("-detect_leaks=0")
        .argument("-print_funcs=0")
        .argument("-print_final_stats=1")
        .with_variable(SANITIZER.0, SANITIZER.1)
}

/// By the folders of their seeds, which the tests of `sandbar-fuzz` hold to what there is.
fn targets(project: &Project) -> Result<Vec<String>> {
    let folder = project.root.join(SEEDS);
    let entries = folder.read_dir().with_context(|| format!("`{SEEDS}` can't be read"))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn chosen(targets: &[String], wanted: Option<String>) -> Result<Vec<String>> {
    match wanted {
        None => Ok(targets.to_vec()),
        Some(name) if targets.contains(&name) => Ok(vec![name]),
        Some(name) => bail!(
            "there is no target `{}`\nhint: there are {}",
            name.escape_debug(),
            targets.join(", ")
        ),
    }
}

/// Neither comes with the project's own toolchain.
fn installed(project: &Project) -> Result<()> {
    Invocation::cargo(&["+nightly", "--version"])
        .read(&project.root)
        .context("fuzzing needs a nightly compiler\nhint: rustup toolchain install nightly")?;
    Invocation::cargo(&["+nightly", "fuzz", "--version"])
        .read(&project.root)
        .context("fuzzing needs cargo-fuzz, on the PATH\nhint: cargo install cargo-fuzz")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn check(wanted: Option<&str>, expected: &str) {
        let targets = ["sse".to_owned(), "url".to_owned()];
        let found = match chosen(&targets, wanted.map(str::to_owned)) {
            Ok(names) => names.join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn targets_are_chosen_by_name() {
        check(None, "sse url");
        check(Some("url"), "url");
        check(Some("x\n"), "there is no target `x\\n`\nhint: there are sse, url");
    }

    #[test]
    fn options_are_read() {
        let read =
            |line: &str| Fuzz::try_parse_from(line.split(' ')).map(|fuzz| (fuzz.minutes, fuzz.seconds, fuzz.target));
        assert_eq!(read("fuzz").unwrap(), (10, None, None));
        assert_eq!(
            read("fuzz --minutes 2 --target url").unwrap(),
            (2, None, Some("url".to_owned()))
        );
        assert_eq!(read("fuzz --seconds 30").unwrap().1, Some(30));
        assert!(read("fuzz --minutes 0").is_err() && read("fuzz --seconds 5 --minutes 1").is_err());
        let at_once = |line: &str| Fuzz::try_parse_from(line.split(' ')).map(|fuzz| fuzz.at_once);
        assert_eq!(at_once("fuzz --at-once 2").unwrap(), Some(2));
        assert!(at_once("fuzz --at-once 0").is_err());
    }

    #[test]
    fn a_program_is_called_in_a_way_that_can_be_repeated() {
        let check = |target: &str, max_len: u32| {
            assert_eq!(
                program(target, 60).to_string(),
                format!(
                    "ASAN_OPTIONS=detect_odr_violation=0:malloc_context_size=0 cargo +nightly fuzz run --fuzz-dir \
                     host/fuzz/libfuzzer {target} target/fuzz/{target} host/fuzz/seeds/{target} -- -max_total_time=60 \
                     -max_len={max_len} -timeout=10 -detect_leaks=0 -print_funcs=0 -print_final_stats=1"
                )
            );
        };
        check("url", 4096);
        check("policy", 128);
    }

    #[test]
    fn items_are_done_beside_each_other() {
        let items = || ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        // Nobody passes it alone.
        let both = Barrier::new(2);
        let mut done = side_by_side(2, items(), |item| {
            both.wait();
            Ok(item.to_owned())
        })
        .unwrap();
        done.sort();
        assert_eq!(done, items());
        let begun = Mutex::new(Vec::new());
        let outcome = side_by_side(1, items(), |item| {
            begun.lock().unwrap().push(item.to_owned());
            match item {
                "b" => bail!("it broke"),
                item => Ok(item.to_owned()),
            }
        });
        assert_eq!(outcome.unwrap_err().to_string(), "it broke");
        assert_eq!(*begun.lock().unwrap(), ["a", "b"]);
    }
}
