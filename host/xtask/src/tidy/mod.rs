//! Rules that the compiler doesn't know: who depends on whom, and what sources look like.

mod dependencies;
mod kill_points;
mod sources;

use std::fs;

use anyhow::{Result, bail};

use crate::project::Project;

pub(crate) fn tidy(project: &Project) -> Result<()> {
    let packages = dependencies::packages(&project.metadata)?;
    let mut complaints = dependencies::check(&packages);
    let files = project.files()?;
    let mut kill_points = kill_points::KillPoints::default();
    for file in &files {
        // What isn't text has no lines to look at.
        if let Ok(text) = fs::read_to_string(project.root.join(file)) {
            complaints.extend(sources::check(file, &text));
            kill_points.read(file, &text);
        }
    }
    complaints.extend(kill_points.check());
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!("tidy has {} complaints", complaints.len());
    }
    println!("{} packages and {} files are tidy", packages.len(), files.len());
    Ok(())
}
