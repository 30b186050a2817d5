//! Tables on an operator's terminal. Cells may hold text of users, so control characters in them are escaped.

use std::fmt::Display;

use grpcchatter::app::printable;

use super::{Failed, output::print};

/// Prints a row, with tabs between its cells.
pub(super) fn row<const N: usize>(cells: [&dyn Display; N]) -> Result<(), Failed> {
    let cells = cells.map(|cell| printable(&cell.to_string()).into_owned());
    print(cells.join("\t"))
}
