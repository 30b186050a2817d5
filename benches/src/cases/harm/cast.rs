//! Who takes part: accounts, rooms and messages, made before any limit counts.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use grpcchatter_proto::v1::{
    CreateChatRoomRequest, CreateChatRoomResponse, JoinChatRoomRequest, JoinChatRoomResponse,
    SendMessageRequest, SendMessageResponse,
};

use crate::{
    load::{grpc::Connection, rest::Rest},
    server::{Gateway, sign_in},
};

/// Whoever is harmed.
pub(super) const VICTIM: &str = "victim1";
/// Whoever harms.
pub(super) const ATTACKER: &str = "attacker1";
/// The attacker's rooms, to enter and to leave.
const ROOMS: usize = 64;
/// Messages that fill the largest page with the longest bodies.
const LONG: usize = 200;
const LONGEST: usize = 4096;
/// Messages of the victim's page.
pub(super) const PAGE: usize = 10;

/// The user and chat tokens of both sides; they last longer than the case.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    /// The victim's chat token.
    pub(super) victim: String,
    /// Of somebody else beside the victim, in a room of their own.
    pub(super) talker: String,
    /// The attacker's user token.
    pub(super) attacker: String,
    /// The attacker's own room.
    pub(super) room: String,
    /// The attacker's chat token in a room of long messages.
    pub(super) reader: String,
    /// Another user token of the attacker's side, and rooms of the attacker that it may enter.
    pub(super) guest: String,
    pub(super) open: Vec<String>,
}

impl Cast {
    /// Makes them on a gateway without limits.
    ///
    /// # Errors
    /// If something is refused.
    pub(super) async fn prepare(gateway: &Gateway) -> Result<Self> {
        let process = gateway.start()?;
        let mut rest = Rest::open(process.address)?;
        let mut token = |name| sign_in(&mut rest, name);
        let (victim, talker) = (token(VICTIM)?, token("talker1")?);
        let (attacker, guest) = (token(ATTACKER)?, token("guest01")?);
        let calls = Calls::open(process.address).await?;
        let victim = calls.own_room(&victim).await?.1;
        let talker = calls.own_room(&talker).await?.1;
        calls.fill(&victim, PAGE, 64).await?;
        let (room, reader) = calls.own_room(&attacker).await?;
        calls.fill(&reader, LONG, LONGEST).await?;
        let mut open = Vec::new();
        for _ in 0..ROOMS {
            open.push(calls.make_room(&attacker).await?);
        }
        drop(calls);
        process.stop()?;
        Ok(Self { victim, talker, attacker, room, reader, guest, open })
    }
}

struct Calls(Connection);

impl Calls {
    async fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self(Connection::open(address).await?))
    }

    /// Returns a new room's short code.
    async fn make_room(&self, token: &str) -> Result<String> {
        let made: CreateChatRoomResponse =
            self.0.unary("/grpcchatter.v1.ChatService/CreateChatRoom", Some(token), &new_room()).await?;
        Ok(made.short_code)
    }

    /// Returns a new room's short code and its owner's chat token.
    async fn own_room(&self, token: &str) -> Result<(String, String)> {
        let code = self.make_room(token).await?;
        let join = JoinChatRoomRequest { short_code: code.clone(), ..Default::default() };
        let joined: JoinChatRoomResponse =
            self.0.unary("/grpcchatter.v1.ChatService/JoinChatRoom", Some(token), &join).await?;
        Ok((code, joined.token))
    }

    async fn fill(&self, token: &str, count: usize, length: usize) -> Result<()> {
        for _ in 0..count {
            let message = SendMessageRequest { body: "x".repeat(length), client_message_id: String::new() };
            let _: SendMessageResponse = self
                .0
                .unary("/grpcchatter.v1.ChatService/SendMessage", Some(token), &message)
                .await
                .context("filling a room")?;
        }
        Ok(())
    }
}

/// Returns the request for a room without a password.
pub(super) fn new_room() -> CreateChatRoomRequest {
    CreateChatRoomRequest { room_name: "harm".into(), room_password: String::new() }
}
