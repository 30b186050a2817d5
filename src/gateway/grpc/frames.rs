//! Encodes messages and events as protobuf, which the hub frames.

use bytes::BytesMut;
use grpcchatter_proto::v1;
use tonic::Status;

use super::convert;
use crate::{
    domain::{Event, Framing, StreamKind, chat::HEARTBEAT_INTERVAL},
    faults::{self, Fault},
    model::Message,
};

/// The encoding functions that the hub calls.
pub const FRAMING: Framing = Framing { message, event };

fn message(kind: StreamKind, message: &Message, bytes: &mut BytesMut) {
    match kind {
        StreamKind::Subscribe => {
            subscribe(v1::subscribe_response::Event::Message(convert::message(message)), bytes);
        }
        StreamKind::Chat => {
            let v1::Message { user_name, body, seq, message_id, create_time, client_message_id } =
                convert::message(message);
            let response = v1::ChatResponse {
                user_name,
                body,
                seq,
                message_id,
                create_time,
                client_message_id: if faults::is(Fault::EchoWithoutId) {
                    String::new()
                } else {
                    client_message_id
                },
                rejected: None,
                heartbeat: None,
            };
            encode(&response, bytes);
        }
    }
}

fn event(event: &Event, bytes: &mut BytesMut) {
    use v1::subscribe_response::Event as Payload;
    let payload = match event {
        Event::Subscribed { room, reset } => Payload::Subscribed(v1::Subscribed {
            room: Some(convert::room(room)),
            reset: *reset,
            heartbeat_interval: Some(convert::duration(HEARTBEAT_INTERVAL)),
        }),
        Event::CaughtUp(last_seq) => Payload::CaughtUp(v1::CaughtUp { last_seq: last_seq.0 }),
        Event::Presence(people, count) => Payload::Presence(v1::Presence {
            users: people.iter().map(convert::user).collect(),
            user_count: convert::count(*count),
        }),
        Event::PresenceChange(change) => Payload::PresenceChange(v1::PresenceChange {
            came: change.came.iter().map(convert::user).collect(),
            left: change.left.iter().map(|name| name.as_ref().to_owned()).collect(),
            user_count: convert::count(change.count),
        }),
        Event::Heartbeat(kind, last_seq) => {
            let heartbeat = v1::Heartbeat { last_seq: last_seq.0 };
            match kind {
                StreamKind::Subscribe => Payload::Heartbeat(heartbeat),
                StreamKind::Chat => {
                    let response = v1::ChatResponse { heartbeat: Some(heartbeat), ..Default::default() };
                    return encode(&response, bytes);
                }
            }
        }
        Event::RoomUpdated(room) => Payload::RoomUpdated(convert::room(room)),
        Event::Draining(delay) => {
            Payload::Draining(v1::Draining { reconnect_after: Some(convert::duration(*delay)) })
        }
        Event::Rejected { client_message_id, error } => {
            let status = Status::from(error.clone());
            let rejected = v1::Rejection {
                code: status.code().into(),
                reason: error.reason().to_owned(),
                message: status.message().to_owned(),
            };
            let response = v1::ChatResponse {
                client_message_id: client_message_id.clone(),
                rejected: Some(rejected),
                ..Default::default()
            };
            return encode(&response, bytes);
        }
    };
    subscribe(payload, bytes);
}

fn subscribe(event: v1::subscribe_response::Event, bytes: &mut BytesMut) {
    encode(&v1::SubscribeResponse { event: Some(event) }, bytes);
}

fn encode(message: &impl prost::Message, bytes: &mut BytesMut) {
    message.encode(bytes).expect("a growing buffer has room for any message");
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::model::{Error, Seq, Timestamp, UserId};

    #[test]
    fn an_old_client_reads_name_and_body_of_a_chat_line() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct ServerMessage {
            #[prost(string, tag = "1")]
            user_name: String,
            #[prost(string, tag = "2")]
            body: String,
        }
        let line = Message {
            seq: Seq(7),
            message_id: uuid::Uuid::nil(),
            author: UserId(1),
            user_name: "walker1".into(),
            body: "hello".into(),
            created_at: Timestamp::from_seconds(1),
            client_message_id: None,
        };
        let mut bytes = BytesMut::new();
        message(StreamKind::Chat, &line, &mut bytes);
        let read = ServerMessage::decode(&bytes[..]).expect("decodes");
        assert_eq!((read.user_name.as_str(), read.body.as_str()), ("walker1", "hello"));
    }

    #[test]
    fn a_rejection_has_the_code_and_reason_of_a_failed_send() {
        let mut bytes = BytesMut::new();
        let error = Error::MessageTooLong { limit: 10 };
        event(&Event::Rejected { client_message_id: "a".into(), error }, &mut bytes);
        let read = v1::ChatResponse::decode(&bytes[..]).expect("decodes");
        let rejected = read.rejected.expect("rejected");
        assert_eq!((rejected.code, rejected.reason.as_str()), (3, "MESSAGE_TOO_LONG"));
    }
}
