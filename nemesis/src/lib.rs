//! The checker of the promise: reads what everybody sent and saw, and says where the promise was broken.
//!
//! It knows neither the server nor the network: a history goes in, violations come out. So it can be tested by
//! histories of a few lines, before it is trusted with a server.

mod check;
mod history;

pub use check::{AfterLoss, Invariant, Violation, check, check_after_loss};
pub use history::{Entry, Event, History, Start};
