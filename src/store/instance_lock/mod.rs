//! Lets only one server use a database. A server that loses the lock stops writing until it has the lock again, and ends if
//! another server has taken it.

mod postgres;
mod sqlite;
mod state;

pub(super) use state::InstanceLock;
