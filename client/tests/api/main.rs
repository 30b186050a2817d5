//! The client against a scripted server. Every test ends by an event, never by the clock.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod auto_traits;
#[cfg(feature = "blocking")]
mod blocking;
mod events;
mod fake;
mod proxies;
mod sending;
mod session;
#[cfg(feature = "tls")]
mod tls;

use grpcchatter_client::{Client, Room};

use crate::fake::Fake;

/// A server, and a client that has joined its room.
async fn joined_room() -> (Fake, Client, Room) {
    let fake = Fake::start().await;
    let client = Client::new_at(&fake.url).unwrap();
    client.login("walker1", "Secret-1!").await.unwrap();
    let room = client.join_chat_room("aB3xYz", "edelweiss").await.unwrap();
    (fake, client, room)
}
