//! The database: accounts, sessions, rooms, members and the log, in SQLite or PostgreSQL.
//!
//! [`Store`] is the handle; its methods stand in a file for each subject. A sqlx connection belongs to the runtime that
//! opened it, so every public method runs its work on the core runtime and awaits the answer. That is also the rule of
//! cancellation: dropping a call never drops a transaction. No entity leaves this module.

// Operator commands.
mod admin;
mod account_admin;
// Accounts and sessions.
mod accounts;
mod sessions;
mod account_row;
mod session_end;
// Rooms, their logs and their members.
mod log;
mod lookup;
mod rooms;
mod history;
mod members;
mod retention;
// The database as a whole.
mod wal;
mod gauges;
mod setup;
mod standby;
mod database;
mod admission;
mod fair_semaphore;
mod instance_lock;
mod sqlite;
mod database_url;
mod postgres;
mod server;
mod standby_barrier;
mod setup_error;
mod unusable_connection;
mod pool;
mod transaction;
mod pool_generation;
mod failure;
mod parameters;
#[cfg(test)]
pub(crate) mod temporary;
#[cfg(test)]
mod admission_tests;

use self::failure::{DbResult, Failure};
pub use self::{
    account_admin::AccountRecord,
    accounts::Credentials,
    admin::AccountChange,
    database::Store,
    database_url::DatabaseUrl,
    fair_semaphore::{charged_to, payer},
    gauges::{DatabaseGauges, PoolGauges},
    history::{Direction, Head, LogPosition, Page},
    log::{Appended, Draft, Lane, Lanes, Receipt},
    lookup::{FoundRoom, FoundUser},
    members::{Membership, RoomAccess},
    postgres::PostgresUrl,
    rooms::{NewRoom, RoomPage, RoomRecord},
    sessions::{NewSession, RefreshRotation, Refreshed, Session},
    setup::Migrated,
    setup_error::SetupError,
    unusable_connection::UnusableConnection,
};
