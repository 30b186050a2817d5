//! What holds a secret or what somebody said does not show it by `Debug`: whatever is logged or panics with it.
//!
//! Here are all types that hold one and have `Debug`. Keys, credentials, what a log-in gives, drafts and hashes have none.

use std::path::PathBuf;

use bytes::BufMut as _;
use uuid::Uuid;

use crate::{
    clock::Clock,
    config::Config,
    crypto::{Keys, Secret, Secrets},
    gateway::MetricsToken,
    hub::{Chunk, Feed, Framing},
    model::{
        ClientMessageId, GivenPassword, Message, MessageBody, Password, RoomPassword, SessionId, Timestamp,
        UserId,
    },
    store::{DatabaseUrl, PostgresUrl},
};

const SECRET: &str = "cAnary-secret-of-more-than-thirty-two-bytes";

fn message() -> Message {
    Message {
        seq: 1,
        message_id: Uuid::nil(),
        author: UserId(1),
        user_name: "walker1".into(),
        body: MessageBody::parse("cAnary".to_owned(), 100, None).unwrap().shared(),
        created_at: Timestamp::from_seconds(1),
        client_message_id: ClientMessageId::parse("mine").unwrap(),
    }
}

#[test]
fn nothing_that_holds_a_secret_shows_it() {
    let framing =
        Framing { message: |_, message, bytes| bytes.put_slice(message.body.as_bytes()), event: |_, _| () };
    let chunks = Chunk::cut(&[message()], Feed::Subscribe, framing);
    let secrets = Secrets::parse(SECRET).unwrap();
    let token = Keys::new(&secrets).refresh_token(SessionId(Uuid::nil()), 1);
    let url = "postgres://walker:cAnary@localhost/chat";
    let settings = [
        ("DATA_DIR", "data"),
        ("SECRET", SECRET),
        ("DATABASE_URL", url),
        ("METRICS_TOKEN", "cAnary-of-the-figures"),
    ];
    let config = Config::from_settings(settings).unwrap();
    let mistaken =
        [("DATA_DIR", "data"), ("SECRET", "cAnary"), ("DATABASE_URL", "cAnary://x"), ("SERVER_PORT", "x")];
    let mistakes = Config::from_settings(mistaken).unwrap_err();
    let shown = [
        ("a body", format!("{:?}", MessageBody::parse("cAnary".to_owned(), 100, None).unwrap())),
        ("a message", format!("{:?}", message())),
        ("what is framed", format!("{chunks:?}")),
        ("a password", format!("{:?}", Password::parse("cAnary-Passw0rd!").unwrap())),
        ("a password that is given", format!("{:?}", GivenPassword::new("cAnary-Passw0rd!"))),
        ("a room's password", format!("{:?}", RoomPassword::parse("cAnary".to_owned()).unwrap())),
        ("a secret", format!("{:?}", Secret::generate(&Clock::system()))),
        ("the secrets", format!("{secrets:?}")),
        ("a refresh token", format!("{token:?}")),
        ("the database's address", format!("{:?}", DatabaseUrl::Postgres(PostgresUrl::parse(url).unwrap()))),
        ("the database's file", format!("{:?}", DatabaseUrl::Sqlite(PathBuf::from("chat.db")))),
        ("the figures' token", format!("{:?}", MetricsToken::new("cAnary"))),
        ("the settings", format!("{config:?}")),
        ("mistakes among the settings", format!("{mistakes:?} {mistakes}")),
    ];
    for (what, shown) in shown {
        assert!(!shown.contains("cAnary") && !shown.contains(&token.expose()), "{what}: {shown}");
    }
}
