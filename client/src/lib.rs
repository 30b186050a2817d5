//! The client of GRPCChatter, a chat server on one port.
//!
//! [`Client`] knows a server by its URL and a person by their session. Joining a room gives a [`Room`], which
//! sends, reads the log, and tells what happens as a stream of [`Event`]s.
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
//! # What it takes care of
//!
//! - **One URL, one connection.** gRPC and REST share an HTTP/2 connection, which is made with the first call
//!   and again whenever it broke.
//! - **Sending.** [`Room::send`] returns once the message is durably stored. It is tried again under the same
//!   id until then, so a lost answer or a restart of the server never doubles it; the messages of a room are
//!   stored in the order in which they were sent. It waits for one acknowledgement at a time: use several
//!   rooms' handles, or the `Chat` call of the .proto, to store thousands of messages a second.
//! - **Reading.** [`Room::events`] resumes after the last message that it passed on. It notices a server that
//!   ends the stream, a connection that breaks, and one that says nothing for two and a half heartbeats.
//!   Attempts follow each other by back-off with full jitter. A log that cannot be continued is told as
//!   [`Event::Reset`], never passed over.
//! - **Tokens.** The session's and the room's are renewed when the server says that they are over. No password
//!   is kept. `Debug` shows no token and no password.
//! - **What stands in between.** A server names its [`Reason`] in every refusal. What names none came from something
//!   before it, as a proxy whose server is restarting, and is tried again where another answer may come.
//! - **Ending.** [`Room::disconnect`] and [`Client::disconnect`] end everything at once. There are no
//!   background tasks but the connection, so dropping is enough as well.
//!
//! # Giving up a call
//!
//! Every future may be dropped at any time, and belongs in a task of a tokio runtime with its time and its input and
//! output enabled. What is dropped before it has ended was done at the server or not: a message may be stored
//! ([`Room::send_with_id`] with the same id settles it), a session begun, a room made. Nothing is lost by dropping
//! [`Events::recv`] and [`Room::receive`]. A token that is being renewed is renewed all the same.
//!
//! # Names
//!
//! The calls of the original client go by its names as well, as [`Client::join_chat_room`] for [`Client::join`].
//!
//! # Features
//!
//! - `tls` (default): `https` URLs, by rustls with ring.
//! - `blocking`: the module `blocking`, the same calls for programs without an async runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod backoff;
#[cfg(feature = "blocking")]
#[cfg_attr(docsrs, doc(cfg(feature = "blocking")))]
pub mod blocking;
mod builder;
mod client;
mod error;
mod event;
mod feed;
mod membership;
mod model;
mod original;
mod patience;
mod reason;
mod refusal;
mod room;
mod rooms;
mod sending;
mod session;
mod session_file;
#[cfg(feature = "tls")]
mod tls;
mod transport;

/// The program in the README compiles.
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
