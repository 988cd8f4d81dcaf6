//! `cargo xtask torture fuzz`: the programs of `host/fuzz/libfuzzer`, one after the other, each from its seeds.

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use crate::invocation::Invocation;
use crate::project::Project;

/// Where the programs are, below the root.
const PROGRAMS: &str = "host/fuzz/libfuzzer";
const SEEDS: &str = "host/fuzz/seeds";
/// Where inputs are kept that were found, for the next time.
const FOUND: &str = "target/fuzz";

/// Fuzz what reads bytes of others: names, URLs, manifests, grants, rows of the journal, arguments.
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
}

impl Fuzz {
    /// From what follows `fuzz` on the command line.
    pub(crate) fn parse_after(arguments: &[String]) -> Self {
        Self::parse_from(arguments)
    }

    pub(crate) fn run(self, project: &Project) -> Result<()> {
        let targets = chosen(&targets(project)?, self.target)?;
        installed(project)?;
        let seconds = self.seconds.unwrap_or(self.minutes * 60);
        for target in targets {
            println!("\n=== fuzz: {target}, {seconds} s");
            let found = project.root.join(FOUND).join(&target);
            std::fs::create_dir_all(&found).with_context(|| format!("`{}` can't be made", found.display()))?;
            program(&target, seconds).run(&project.root).with_context(|| {
                format!("`{target}` was broken, or couldn't be built; an input that breaks it is in {PROGRAMS}/artifacts/{target}")
            })?;
        }
        Ok(())
    }
}

/// The input is limited, since what takes long is found by its size alone. A new input goes to the first folder.
fn program(target: &str, seconds: u32) -> Invocation {
    Invocation::cargo(&["+nightly", "fuzz", "run", "--fuzz-dir", PROGRAMS, target])
        .argument(format!("{FOUND}/{target}"))
        .argument(format!("{SEEDS}/{target}"))
        .argument("--")
        .argument(format!("-max_total_time={seconds}"))
        .argument("-max_len=4096")
        .argument("-timeout=10")
        // Functions of SQLite have constants of the same name, which the sanitizer takes for one that is defined twice.
        .with_variable("ASAN_OPTIONS", "detect_odr_violation=0")
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
    }

    #[test]
    fn a_program_is_called_in_a_way_that_can_be_repeated() {
        assert_eq!(
            program("url", 60).to_string(),
            "ASAN_OPTIONS=detect_odr_violation=0 cargo +nightly fuzz run --fuzz-dir host/fuzz/libfuzzer url target/fuzz/url host/fuzz/seeds/url -- \
             -max_total_time=60 -max_len=4096 -timeout=10"
        );
    }
}
