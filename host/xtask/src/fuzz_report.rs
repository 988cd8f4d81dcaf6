//! What a fuzzing program says when it ends, and the table of it.

use std::fmt;
use std::time::Duration;

/// How one target ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) target: String,
    executions: u64,
    per_second: u64,
    /// Places of the code that were reached with the inputs that were there before, and at the end.
    coverage: (u64, u64),
    /// New inputs that reach something.
    kept: u64,
    broke: Option<Broke>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Broke {
    /// The path of the input.
    With(String),
    /// It ended badly without one.
    Otherwise,
}

impl Ended {
    /// From what the program has written; `took` stands in where it ended before it could say how fast it was.
    pub(crate) fn read(target: &str, success: bool, said: &str, took: Duration) -> Self {
        let stat = |name: &str| {
            let line = said
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(':')?.trim().parse().ok())
        };
        // `#702	INITED cov: 2017 ft: 8419 corp: …`
        let covered = |line: &str| number_after(line, " cov: ");
        let begun = said.lines().filter(|line| line.contains("\tINITED ")).find_map(covered);
        let coverage = said.lines().rev().find_map(covered).unwrap_or(0);
        let counted = said.lines().rev().find_map(|line| {
            let number = line.strip_prefix('#')?.split('\t').next()?;
            number.parse().ok()
        });
        let executions = stat("number_of_executed_units").or(counted).unwrap_or(0);
        let artifact = said
            .lines()
            .find_map(|line| line.split_once("Test unit written to "))
            .map(|(_, path)| path);
        Self {
            target: target.to_owned(),
            executions,
            per_second: stat("average_exec_per_sec").unwrap_or(executions / took.as_secs().max(1)),
            coverage: (begun.unwrap_or(0), coverage),
            kept: stat("new_units_added").unwrap_or(0),
            broke: match (success, artifact) {
                (true, _) => None,
                (false, Some(path)) => Some(Broke::With(path.trim().to_owned())),
                (false, None) => Some(Broke::Otherwise),
            },
        }
    }

    /// What is to be said at the end of one that went wrong.
    pub(crate) fn failure(&self) -> Option<String> {
        let target = &self.target;
        Some(match self.broke.as_ref()? {
            Broke::With(path) => format!("`{target}` was broken by the input {path}"),
            Broke::Otherwise => format!("`{target}` failed without an input that broke it"),
        })
    }

    fn outcome(&self) -> &str {
        match &self.broke {
            None => "none",
            Some(Broke::With(path)) => path,
            Some(Broke::Otherwise) => "failed",
        }
    }

    fn new_coverage(&self) -> u64 {
        self.coverage.1.saturating_sub(self.coverage.0)
    }
}

/// While the others still run.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fuzz: {} has ended: {} executions, {} a second, coverage {} ({} new), {} inputs kept, crash: {}",
            self.target,
            self.executions,
            self.per_second,
            self.coverage.1,
            self.new_coverage(),
            self.kept,
            self.outcome()
        )
    }
}

pub(crate) fn table(ended: &[Ended]) -> String {
    let width = ended.iter().map(|ended| ended.target.len()).max().unwrap_or(0).max(6);
    let mut text = format!(
        "{:width$}  {:>12}  {:>8}  {:>8}  {:>8}  {:>8}  crash\n",
        "target", "executions", "a second", "coverage", "new", "kept"
    );
    for row in ended {
        text += &format!(
            "{:width$}  {:>12}  {:>8}  {:>8}  {:>8}  {:>8}  {}\n",
            row.target,
            row.executions,
            row.per_second,
            row.coverage.1,
            row.new_coverage(),
            row.kept,
            row.outcome()
        );
    }
    text
}

fn number_after(line: &str, mark: &str) -> Option<u64> {
    let (_, rest) = line.split_once(mark)?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str = "INFO: seed corpus: files: 3\n#4\tINITED cov: 100 ft: 120 corp: 3/30b exec/s: 0 rss: 30Mb\n\
        #90\tNEW    cov: 111 ft: 130 corp: 4/40b lim: 4 exec/s: 0 rss: 31Mb\n#5000\tDONE   cov: 112 ft: 140 corp: 5/50b\n\
        stat::number_of_executed_units: 5000\nstat::average_exec_per_sec:     250\nstat::new_units_added:          2\n";
    const BADLY: &str = "#4\tINITED cov: 100 ft: 120 corp: 3/30b exec/s: 0 rss: 30Mb\n#2048\tpulse  cov: 105 ft: 130\n\
        thread panicked\nartifact_prefix='a/'; Test unit written to a/crash-5eed\nBase64: AA==\n";

    fn read(success: bool, said: &str) -> Ended {
        Ended::read("url", success, said, Duration::from_secs(2))
    }

    #[test]
    fn a_row_says_what_a_program_found() {
        let check = |ended: Ended, row: &str, failure: Option<&str>| {
            assert_eq!(table(std::slice::from_ref(&ended)).lines().nth(1), Some(row));
            assert_eq!(ended.failure().as_deref(), failure);
        };
        check(
            read(true, WELL),
            "url             5000       250       112        12         2  none",
            None,
        );
        check(
            read(false, BADLY),
            "url             2048      1024       105         5         0  a/crash-5eed",
            Some("`url` was broken by the input a/crash-5eed"),
        );
        check(
            read(false, "error: it can't be built"),
            "url                0         0         0         0         0  failed",
            Some("`url` failed without an input that broke it"),
        );
    }

    #[test]
    fn a_line_is_told_when_one_has_ended() {
        assert_eq!(
            read(true, WELL).to_string(),
            "fuzz: url has ended: 5000 executions, 250 a second, coverage 112 (12 new), 2 inputs kept, crash: none"
        );
    }
}
