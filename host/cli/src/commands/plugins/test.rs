//! `sandbar plugins test`.

use serde_json::json;

use super::build::Sources;
use crate::author::{Case, Trial, read_cases, try_case};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::options::Options;
use crate::progress::open_options;
use crate::sanitise::{one_line, sanitise};
use crate::style::{Paint, Style};
use crate::terminal::{Stream, Terminal};

/// Build a plugin, and run the cases in its `tests/*.toml` in the real sandbox
///
/// A tool is called as a model would call it; a pattern decides for an agent whose model answers what the case says. Nothing goes
/// over a network. The exit code is 1 if a case failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    #[command(flatten)]
    sources: Sources,
    /// Test what was built before
    #[arg(long)]
    no_build: bool,
}

impl Test {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let project = self.sources.project()?;
        let cases = read_cases(&project)?;
        let config = options.config_without_agent()?;
        if !self.no_build {
            self.sources.build(&project, &config, terminal)?;
        }
        let open = open_options(terminal);
        let failed = Options::block_on(async {
            let mut failed = 0;
            for case in &cases {
                let trial = try_case(&project, &self.sources.out(), case, &config, &open).await?;
                failed += usize::from(!trial.mismatches.is_empty());
                report(case, &trial, terminal);
            }
            Ok(failed)
        })?;
        let passed = cases.len() - failed;
        if terminal.json {
            terminal.json_line(&json!({ "passed": passed, "failed": failed }));
        } else {
            let paint = terminal.paint(Stream::Out);
            let failures = match failed {
                0 => String::new(),
                _ => format!(", {}", paint.with(Style::Red, &format!("{failed} failed"))),
            };
            terminal.line(&format!("{passed} passed{failures}"));
        }
        Ok(if failed == 0 { Exit::Ok } else { Exit::Failure })
    }
}

fn report(case: &Case, trial: &Trial, terminal: &Terminal) {
    if terminal.json {
        terminal.json_line(&json!({
            "case": case.written.name,
            "at": case.origin,
            "passed": trial.mismatches.is_empty(),
            "calls": trial.calls,
            "wall_us": trial.wall.as_micros(),
            "cpu_us": trial.cpu.as_micros(),
            "peak_memory_bytes": trial.peak_memory_bytes,
            "mismatches": trial.mismatches,
        }));
        return;
    }
    terminal.lines(lines(case, trial, terminal.paint(Stream::Out)));
}

fn lines(case: &Case, trial: &Trial, paint: Paint) -> Vec<String> {
    let sign = if trial.mismatches.is_empty() {
        (Style::Green, "✓")
    } else {
        (Style::Red, "✗")
    };
    let mib = trial.peak_memory_bytes as f64 / f64::from(1 << 20);
    let facts = match trial.calls {
        0 => "not called".to_owned(),
        _ => format!("{:.1} ms  {mib:.1} MiB", trial.wall.as_secs_f64() * 1000.0),
    };
    let name = one_line(&case.written.name, 100);
    let mut lines = vec![format!(
        "{} {name}  {}",
        paint.with(sign.0, sign.1),
        paint.with(Style::Dim, &facts)
    )];
    if !trial.mismatches.is_empty() {
        lines.push(format!("    {}", paint.with(Style::Dim, &case.origin)));
    }
    for mismatch in &trial.mismatches {
        lines.push(format!("    {}", one_line(&mismatch.what, 100)));
        for line in mismatch.lines() {
            let style = match line.as_bytes().first() {
                Some(b'-') => Style::Red,
                Some(b'+') => Style::Green,
                _ => Style::Dim,
            };
            lines.push(format!("      {}", paint.with(style, &sanitise(&line))));
        }
    }
    lines
}
