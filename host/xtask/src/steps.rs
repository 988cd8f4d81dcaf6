//! Steps that are run one after the other, and the table of what they took.

use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};

use crate::invocation::Invocation;
use crate::project::Project;

#[derive(Debug)]
pub(crate) struct Steps<'a> {
    task: &'static str,
    project: &'a Project,
    begun: Instant,
    done: Vec<(&'static str, Duration)>,
}

impl<'a> Steps<'a> {
    pub(crate) fn begin(task: &'static str, project: &'a Project) -> Self {
        Self {
            task,
            project,
            begun: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Runs calls one after the other.
    pub(crate) fn call(&mut self, name: &'static str, invocations: &[Invocation]) -> Result<()> {
        let root = self.project.root.clone();
        self.step(name, || {
            for invocation in invocations {
                println!("$ {invocation}");
                invocation
                    .run(&root)
                    .map_err(|error| repeatable(&error, &invocation.to_string()))?;
            }
            Ok(())
        })
    }

    /// Runs a part of this program; `repeat` is the command that does only that.
    pub(crate) fn task(
        &mut self,
        name: &'static str,
        repeat: &str,
        run: impl FnOnce(&Project) -> Result<()>,
    ) -> Result<()> {
        let project = self.project;
        self.step(name, || run(project).map_err(|error| repeatable(&error, repeat)))
    }

    pub(crate) fn finish(self) {
        print!("{}", table(&self.done));
        let seconds = self.begun.elapsed().as_secs();
        println!("{}: {} steps passed in {seconds} s", self.task, self.done.len());
    }

    fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n=== {}: {name}", self.task);
        let begun = Instant::now();
        let outcome = run();
        let took = begun.elapsed();
        if outcome.is_err() {
            print!("{}", table(&self.done));
            println!("{}: `{name}` failed after {:.1} s", self.task, took.as_secs_f64());
        } else {
            println!("=== {}: {name} took {:.1} s", self.task, took.as_secs_f64());
            self.done.push((name, took));
        }
        outcome
    }
}

fn repeatable(error: &Error, repeat: &str) -> Error {
    anyhow!("{error:#}\nto repeat it: {repeat}")
}

fn table(done: &[(&str, Duration)]) -> String {
    let width = done.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let row = |(name, took): &(&str, Duration)| format!("  {name:width$}  {:>7.1} s\n", took.as_secs_f64());
    format!("\n{}", done.iter().map(row).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_a_row_per_step() {
        let done = [
            ("fmt", Duration::from_millis(340)),
            ("clippy", Duration::from_secs(1234)),
        ];
        assert_eq!(table(&done), "\n  fmt         0.3 s\n  clippy   1234.0 s\n");
    }
}
