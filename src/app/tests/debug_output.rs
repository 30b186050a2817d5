//! `Debug` of types that hold secrets or messages does not show them, in logs or in panics.
//!
//! The test lists every such type with `Debug`. Keys, credentials, issued tokens, drafts and hashes have no `Debug`.

use std::path::PathBuf;

use bytes::BufMut as _;
use uuid::Uuid;

use crate::{
    clock::Clock,
    config::Config,
    crypto::{Keys, Secret, Secrets},
    gateway::MetricsToken,
    hub::{Chunk, Framing, StreamKind},
    model::{
        ClientMessageId, GivenPassword, Message, MessageBody, Password, RoomPassword, Seq, SessionId,
        Timestamp, UserId,
    },
    store::{DatabaseUrl, PostgresUrl},
};

const SECRET: &str = "cAnary-secret-of-more-than-thirty-two-bytes";

fn message() -> Message {
    Message {
        seq: Seq(1),
        message_id: Uuid::nil(),
        author: UserId(1),
        user_name: "walker1".into(),
        body: MessageBody::parse("cAnary".to_owned(), 100, None).unwrap().shared(),
        created_at: Timestamp::from_seconds(1),
        client_message_id: ClientMessageId::parse("mine").unwrap(),
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let framing =
        Framing { message: |_, message, bytes| bytes.put_slice(message.body.as_bytes()), event: |_, _| () };
    let chunks = Chunk::cut(&[message()], StreamKind::Subscribe, framing);
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
    let invalid =
        [("DATA_DIR", "data"), ("SECRET", "cAnary"), ("DATABASE_URL", "cAnary://x"), ("SERVER_PORT", "x")];
    let errors = Config::from_settings(invalid).unwrap_err();
    let shown = [
        ("a body", format!("{:?}", MessageBody::parse("cAnary".to_owned(), 100, None).unwrap())),
        ("a message", format!("{:?}", message())),
        ("a chunk of frames", format!("{chunks:?}")),
        ("a password", format!("{:?}", Password::parse("cAnary-Passw0rd!").unwrap())),
        ("a password in a request", format!("{:?}", GivenPassword::new("cAnary-Passw0rd!"))),
        ("a room's password", format!("{:?}", RoomPassword::parse("cAnary".to_owned()).unwrap())),
        ("a secret", format!("{:?}", Secret::generate(&Clock::system()))),
        ("the secrets", format!("{secrets:?}")),
        ("a refresh token", format!("{token:?}")),
        ("the database's address", format!("{:?}", DatabaseUrl::Postgres(PostgresUrl::parse(url).unwrap()))),
        ("the database's file", format!("{:?}", DatabaseUrl::Sqlite(PathBuf::from("chat.db")))),
        ("the metrics token", format!("{:?}", MetricsToken::new("cAnary"))),
        ("the settings", format!("{config:?}")),
        ("errors in the settings", format!("{errors:?} {errors}")),
    ];
    for (what, shown) in shown {
        assert!(!shown.contains("cAnary") && !shown.contains(&token.expose()), "{what}: {shown}");
    }
}
