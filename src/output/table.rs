//! Tables as docker prints them: columns at least ten characters wide, three spaces between them.

use std::io::{self, Write};

use super::plain;
use crate::error::Error;

const NARROWEST: usize = 10;
const GAP: usize = 3;

/// A table with a heading.
pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table of these columns.
    pub fn new(heading: [&str; N]) -> Self {
        Self {
            rows: vec![heading.map(str::to_owned)],
        }
    }

    /// Adds a row. What could steer the terminal is escaped: images come from anybody.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| plain(&cell)));
    }

    /// Writes the table to standard output.
    pub fn print(&self) -> Result<(), Error> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        out.write_all(self.render().as_bytes())
            .and_then(|()| out.flush())
            .map_err(super::failed)
    }

    fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            (cells.max().unwrap_or(0) + GAP).max(NARROWEST)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let mut text = String::new();
        for row in &self.rows {
            for (cell, width) in row[..N - 1].iter().zip(widths) {
                text.push_str(&format!("{cell:width$}"));
            }
            text.push_str(&row[N - 1]);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_are_shown() {
        let mut table = Table::new(["A", "LONGER HEADING", "C"]);
        table.row(["ü\x1b[2J".into(), "b".into(), "c\nd".into()]);
        assert_eq!(
            table.render(),
            "A            LONGER HEADING   C\nü\\u{1b}[2J   b                c\\nd\n"
        );
    }
}
