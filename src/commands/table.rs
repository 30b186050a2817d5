//! Tables on an operator's terminal. Cells hold other people's text, in which nothing steers a terminal or begins a row.

use std::fmt::Display;

use grpcchatter::app::printable;

use super::{Failed, output::print};

/// Prints a row, with a tab between two cells.
pub(super) fn row<const N: usize>(cells: [&dyn Display; N]) -> Result<(), Failed> {
    let cells = cells.map(|cell| printable(&cell.to_string()).into_owned());
    print(cells.join("\t"))
}
