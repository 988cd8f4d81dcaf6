//! The table that is printed: Markdown, so that it can go into the documents as it is.

use std::fmt;

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 5]>,
}

impl Table {
    /// `goal` as in the design; `ratio` is ours by baseline.
    pub(crate) fn row(
        &mut self,
        what: &str,
        ours: impl Into<String>,
        baseline: impl Into<String>,
        ratio: Option<f64>,
        goal: &str,
    ) {
        let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        self.rows
            .push([what.to_owned(), ours.into(), baseline.into(), ratio, goal.to_owned()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | Sandbar | baseline in the same run | ratio | goal |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}
