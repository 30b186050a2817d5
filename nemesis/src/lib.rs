//! The checker of the durability promise: takes a history of what all clients sent and saw, and returns every violation.
//!
//! It depends on neither the server nor the network, so its own tests are histories of a few lines.

mod check;
mod history;

pub use check::{AfterLoss, Invariant, Violation, check, check_after_loss};
pub use history::{Entry, Event, History, Start};
