//! One message to one room, for whoever reads nothing there.

use std::sync::Arc;

use grpcchatter_proto::v1;

use crate::{Client, Error, Message, membership::Membership, model::new_message_id, sending::Sending};

impl Client {
    /// Joins a room that the user is in, or that has no password, and sends one message there: for programs that say
    /// something and end. It is two calls, where [`join_chat_room`](Client::join_chat_room) also looks up where in the
    /// log reading would begin. It returns once the message is durably stored.
    ///
    /// # Errors
    /// As those of `join_chat_room` and [`Room::send`](crate::Room::send).
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let message = client.join_and_send("aB3xYz", "the build is green").await?;
    /// println!("stored as number {}", message.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join_and_send(&self, short_code: &str, body: &str) -> Result<Message, Error> {
        let request = v1::JoinChatRoomRequest { short_code: short_code.to_owned(), ..Default::default() };
        let membership = Membership::enter(Arc::clone(&self.inner), request, self.inner.end()).await?;
        Sending::default().send(&membership, &new_message_id(), body).await
    }
}
