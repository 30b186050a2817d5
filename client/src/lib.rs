//! The client of GRPCChatter, a chat server on one port.
//!
//! [`Client`] connects a user to a server by its URL. Joining a room returns a [`Room`], which sends messages,
//! reads the log, and delivers [`Event`]s as a stream.
//!
//! ```no_run
//! use grpcchatter_client::{Client, Event};
//!
//! # async fn run() -> Result<(), grpcchatter_client::Error> {
//! let client = Client::new_at("http://localhost:8080")?;
//! client.login("walker1", "Secret-1!").await?;
//!
//! let room = client.join("aB3xYz", "edelweiss").await?;
//! let mut events = room.events();
//! room.send("good morning").await?;
//! while let Some(event) = events.recv().await {
//!     if let Event::Message(message) = event {
//!         println!("{}: {}", message.user_name, message.body);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does for you
//!
//! - **One URL, one connection.** gRPC and REST share an HTTP/2 connection, opened at the first call and again
//!   after it broke.
//! - **Sending.** [`Room::send`] returns once the message is durably stored. It is retried under the same id until
//!   then, so a lost response or a restart of the server never duplicates it. The messages of a room are stored in
//!   the order in which they were sent. It waits for one acknowledgement at a time: to store thousands of messages
//!   a second, use handles of several rooms, or the `Chat` call of the .proto.
//! - **Reading.** [`Room::events`] resumes after the last delivered message. It detects a stream that the server
//!   ends, a broken connection, and a silence of two and a half heartbeats. Attempts use backoff with full jitter.
//!   If the log cannot be continued, [`Event::Reset`] says so.
//! - **Tokens.** The session's and the room's tokens are renewed when the server says that they have expired. No
//!   password is stored. `Debug` shows no token and no password.
//! - **Proxies.** A server names its [`Reason`] in every refusal. A failure without a reason comes from an
//!   intermediary, such as a proxy whose server is restarting, and is retried if the next call may succeed.
//! - **Ending.** [`Room::disconnect`] and [`Client::disconnect`] end everything at once. The connection is the only
//!   background task, so dropping the handles is enough too.
//!
//! # Cancelling a call
//!
//! Every future may be dropped at any time. It must run on a tokio runtime with time and IO enabled. A call that is
//! dropped before it ends may or may not have taken effect on the server: a message may be stored
//! ([`Room::send_with_id`] with the same id settles it), a session started, a room created. Dropping
//! [`Events::recv`] or [`Room::receive`] loses nothing. The renewal of a token always completes.
//!
//! # Names
//!
//! The calls of the original client also have their original names, such as [`Client::join_chat_room`] for
//! [`Client::join`].
//!
//! # Features
//!
//! - `tls` (default): `https` URLs, by rustls with ring.
//! - `blocking`: the module `blocking`, the same calls for programs without an async runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
#[cfg(feature = "blocking")]
#[cfg_attr(docsrs, doc(cfg(feature = "blocking")))]
pub mod blocking;
mod builder;
mod client;
mod error;
mod event;
mod membership;
mod model;
mod original;
mod reason;
mod refusal;
mod response;
mod retry;
mod room;
mod rooms;
mod send_queue;
mod session;
mod session_file;
mod subscription;
#[cfg(feature = "tls")]
mod tls;
mod transport;

/// Compiles the program in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use builder::ClientBuilder;
pub use client::Client;
pub use error::Error;
pub use event::{CloseReason, Event, Events};
pub use model::{Account, Invitation, Message, Page, ResumePoint, RoomInfo, Start, User, new_message_id};
pub use reason::Reason;
pub use refusal::{Kind, Refusal};
pub use room::Room;
