//! SeaORM entities, one for each table. Times are microseconds since the Unix epoch.

pub mod account;
pub mod member;
pub mod message;
pub mod meta;
pub mod room;
pub mod session;
