//! The writers of the log.
//!
//! A handler never writes. It submits a draft to the writer of its room's lane and awaits the reply, so a handler that is
//! dropped cuts no transaction. A batch is what was queued during the commit before. After its commit the writer itself
//! publishes a batch to the hub, so the order of publishing is the order of commits. Messages whose rows another
//! transaction holds take another way: see [`lock_wait`].

mod writer;
mod lock_wait;
mod lane_queue;
mod batch;

pub(super) use self::batch::{Reply, after_append_timeout};
pub use self::writer::Log;
