//! Pages that the program writes about itself: a page and what it describes can't differ, because CI compares them.

use std::fs;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::guests;
use crate::invocation::Invocation;
use crate::project::Project;

/// Each page, and what `sandbar` is told to print it.
const PAGES: [(&str, &[&str]); 3] = [
    ("docs/reference/sandbar.schema.json", &["config", "schema"]),
    ("docs/reference/cli.md", &["generate-cli-reference"]),
    ("docs/reference/events.md", &["generate-event-reference"]),
];

#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// Only say whether they are up to date.
    #[arg(long)]
    check: bool,
}

impl Docs {
    pub(crate) fn run(self, project: &Project) -> Result<()> {
        guests::ensure_target(project)?;
        if self.check { check(project) } else { write(project) }
    }
}

/// Fails where a page is not what the program prints.
pub(crate) fn check(project: &Project) -> Result<()> {
    let mut stale = Vec::new();
    for (page, arguments) in PAGES {
        let expected = generate(project, arguments)?;
        let found = fs::read_to_string(project.root.join(page)).unwrap_or_default();
        if let Some(difference) = first_difference(&found, &expected) {
            eprintln!("{page}:{difference}");
            stale.push(page);
        }
    }
    if !stale.is_empty() {
        bail!(
            "{} not up to date: write with `cargo xtask docs`, and commit",
            stale.join(", ")
        );
    }
    println!("{} generated pages are up to date", PAGES.len());
    Ok(())
}

fn write(project: &Project) -> Result<()> {
    for (page, arguments) in PAGES {
        let path = project.root.join(page);
        let text = generate(project, arguments)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("can't create the folder of {page}"))?;
        }
        fs::write(&path, text).with_context(|| format!("can't write {page}"))?;
        println!("{page}");
    }
    Ok(())
}

fn generate(project: &Project, arguments: &[&str]) -> Result<String> {
    let mut words = vec!["run", "--quiet", "--package", "sandbar-cli", "--bin", "sandbar", "--"];
    words.extend(arguments);
    Invocation::cargo(&words).read(&project.root)
}

/// The number of the first line that differs, and both versions of it.
fn first_difference(found: &str, expected: &str) -> Option<String> {
    if found == expected {
        return None;
    }
    let (mut found, mut expected) = (found.split('\n'), expected.split('\n'));
    for number in 1.. {
        match (found.next(), expected.next()) {
            (None, None) => break,
            (found, expected) if found == expected => {}
            (found, expected) => {
                let show = |line: Option<&str>| line.map_or("nothing".to_owned(), |line| format!("`{line}`"));
                return Some(format!(
                    "{number}: found {}, the program says {}",
                    show(found),
                    show(expected)
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_shown() {
        let check = |found: &str, expected: &str, difference: Option<&str>| {
            assert_eq!(first_difference(found, expected).as_deref(), difference);
        };
        check("a\nb\n", "a\nb\n", None);
        check("a\nb\n", "a\nc\n", Some("2: found `b`, the program says `c`"));
        check("a", "a\n", Some("2: found nothing, the program says ``"));
        check("", "a", Some("1: found ``, the program says `a`"));
        check("a\nb", "a", Some("2: found `b`, the program says nothing"));
    }
}
