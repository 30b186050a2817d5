//! The load client: one thread, so that it takes at most one core from the server it loads.
//!
//! [`swarm`] holds thousands of streams at almost no cost, by reading HTTP/2 [`frames`] itself, as [`flood`] does to keep
//! thousands of calls under way; [`grpc`] makes calls and talks on Chat through the h2 crate; [`reader`] is one member who
//! reads, [`victim`] one who chats while others press the server, [`bystander`] one who is refused as well; [`rest`] is
//! HTTP/1.1 by hand, [`log_in`] a log-in by it.

pub(crate) mod bystander;
pub(crate) mod flood;
mod frames;
pub(crate) mod grpc;
pub(crate) mod log_in;
pub(crate) mod reader;
pub(crate) mod rest;
pub(crate) mod stamp;
pub(crate) mod swarm;
pub(crate) mod talker;
pub(crate) mod victim;
mod wire;
