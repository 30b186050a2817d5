//! The library against a server that fails on purpose. Every test ends by what happens, never by the clock.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod between;
#[cfg(feature = "blocking")]
mod blocking;
mod events;
mod fake;
mod promises;
mod sending;
mod session;
#[cfg(feature = "tls")]
mod tls;

use grpcchatter_client::{Client, Room};

use crate::fake::Fake;

/// A server, and somebody who is in its room.
async fn in_a_room() -> (Fake, Client, Room) {
    let fake = Fake::start().await;
    let client = Client::new_at(&fake.url).unwrap();
    client.login("walker1", "Secret-1!").await.unwrap();
    let room = client.join_chat_room("aB3xYz", "edelweiss").await.unwrap();
    (fake, client, room)
}
