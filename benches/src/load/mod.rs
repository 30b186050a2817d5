//! The load client: one thread, so that it takes at most one core from the server it loads.
//!
//! - [`subscribers`]: thousands of streams at almost no cost; it parses HTTP/2 [`frames`] itself.
//! - [`flood`]: thousands of concurrent calls, over the same frames, for the attacks.
//! - [`grpc`]: calls over the h2 crate. [`chat_sender`] sends on Chat with it, and [`reader`] reads one Subscribe stream.
//! - [`bystander`]: a client that uses the server during an attack.
//! - [`rest`] and [`login`]: HTTP/1.1 by hand.

pub(crate) mod bystander;
pub(crate) mod chat_sender;
pub(crate) mod flood;
mod frames;
pub(crate) mod grpc;
pub(crate) mod login;
pub(crate) mod reader;
pub(crate) mod rest;
pub(crate) mod stamp;
pub(crate) mod subscribers;
mod wire;
