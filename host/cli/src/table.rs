//! Aligned columns.

use crate::style::{Paint, Style};

/// One field; its text must be sanitised.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

/// Rows whose columns are as wide as their widest field.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

pub(crate) fn cell(style: Style, text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        style,
    }
}

pub(crate) fn plain(text: impl Into<String>) -> Cell {
    cell(Style::Plain, text)
}

impl Table {
    pub(crate) fn with_header(titles: &[&str]) -> Self {
        Self {
            rows: vec![titles.iter().map(|title| cell(Style::Dim, *title)).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// Lines without a line break, and without blanks at their ends.
    pub(crate) fn lines(&self, paint: Paint) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(Cell::width)
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        self.rows.iter().map(|row| line(row, &widths, paint)).collect()
    }
}

impl Cell {
    /// Characters, which is close enough: names and numbers are ASCII.
    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

fn line(row: &[Cell], widths: &[usize], paint: Paint) -> String {
    let mut line = String::new();
    let mut owed = 0;
    for (cell, width) in row.iter().zip(widths) {
        if !cell.text.is_empty() {
            line.extend(std::iter::repeat_n(' ', owed));
            line.push_str(&paint.with(cell.style, &cell.text));
            owed = 0;
        }
        owed += width - if cell.text.is_empty() { 0 } else { cell.width() } + 2;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::with_header(&["NAME", "KIND", "WHY"]);
        table.row([plain("files"), cell(Style::Green, "tool"), plain("")]);
        table.row([plain("ü"), plain(""), plain("broken")]);
        let lines = table.lines(Paint { coloured: false });
        assert_eq!(lines, ["NAME   KIND  WHY", "files  tool", "ü            broken"]);
        assert_eq!(
            table.lines(Paint { coloured: true })[1],
            "files  \u{1b}[32mtool\u{1b}[0m"
        );
    }
}
