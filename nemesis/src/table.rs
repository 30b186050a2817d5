//! Tables, as Markdown, aligned for people.

/// Returns a table.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> =
            cells.zip(&widths).map(|(cell, &width)| format!(" {cell:<width$} ")).collect();
        format!("|{}|\n", cells.join("|"))
    };
    let mut text = line(&mut head.iter().map(|cell| (*cell).to_owned()));
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    text.push_str(&format!("|{}|\n", rule.join("|")));
    for row in rows {
        text.push_str(&line(&mut row.iter().cloned()));
    }
    text
}
