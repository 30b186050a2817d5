//! Inside a room: sending, listing, subscribing, leaving.

mod in_room;
mod chat_sender;
mod message_intake;
mod subscription;
#[cfg(test)]
mod tests;

pub use self::{
    chat_sender::ChatSender,
    in_room::{
        Chat, ChatOptions, DEFAULT_PAGE_SIZE, HEARTBEAT_INTERVAL, MAX_PAGE_SIZE, PAGE_BYTES, RequestedStart,
        StreamOrigin,
    },
    subscription::Subscription,
};
