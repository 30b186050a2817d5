//! The load client: one thread, so that it takes at most one core from the server it loads.
//!
//! [`swarm`] holds thousands of streams at almost no cost, by reading HTTP/2 frames itself; [`grpc`] makes calls and
//! talks on Chat through the h2 crate; [`reader`] is one member who reads, [`victim`] one who chats while others press
//! the server; [`rest`] is HTTP/1.1 by hand.

pub(crate) mod grpc;
pub(crate) mod reader;
pub(crate) mod rest;
pub(crate) mod stamp;
pub(crate) mod swarm;
pub(crate) mod talker;
pub(crate) mod victim;
mod wire;
