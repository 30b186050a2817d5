//! The accounts, rooms and messages of the attacks, made before any limit applies.

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

/// The user name of the bystander.
pub(super) const BYSTANDER: &str = "bystander1";
/// The user name of the attacker.
pub(super) const ATTACKER: &str = "attacker1";
/// The attacker's rooms that its second account joins and leaves.
const OPEN_ROOMS: usize = 64;
/// Messages that fill the largest page with the longest bodies.
const LONG_MESSAGES: usize = 200;
const LONGEST: usize = 4096;
/// Messages of the bystander's page.
pub(super) const PAGE: usize = 10;

/// The tokens and rooms of both sides; the tokens outlast the case.
#[derive(Clone, Debug)]
pub(super) struct Fixture {
    /// The bystander's chat token.
    pub(super) bystander: String,
    /// The chat token of another bystander, in a room of their own, for Chat.
    pub(super) chatter: String,
    /// The attacker's user token.
    pub(super) attacker: String,
    /// The short code of the attacker's own room.
    pub(super) room: String,
    /// The attacker's chat token in that room, which is full of long messages.
    pub(super) long_messages: String,
    /// The user token of the attacker's second account.
    pub(super) guest: String,
    /// The short codes of the attacker's rooms without a password.
    pub(super) open_rooms: Vec<String>,
}

impl Fixture {
    /// Makes them on a gateway without limits.
    ///
    /// # Errors
    /// If the gateway refuses a call.
    pub(super) async fn prepare(gateway: &Gateway) -> Result<Self> {
        let process = gateway.start().await?;
        let mut rest = Rest::open(process.address)?;
        let mut token = |name| sign_in(&mut rest, name);
        let (bystander, chatter) = (token(BYSTANDER)?, token("chatter1")?);
        let (attacker, guest) = (token(ATTACKER)?, token("guest01")?);
        let calls = Calls::open(process.address).await?;
        let bystander = calls.own_room(&bystander).await?.1;
        let chatter = calls.own_room(&chatter).await?.1;
        calls.fill(&bystander, PAGE, 64).await?;
        let (room, long_messages) = calls.own_room(&attacker).await?;
        calls.fill(&long_messages, LONG_MESSAGES, LONGEST).await?;
        let mut open_rooms = Vec::new();
        for _ in 0..OPEN_ROOMS {
            open_rooms.push(calls.create_room(&attacker).await?);
        }
        drop(calls);
        process.stop().await?;
        Ok(Self { bystander, chatter, attacker, room, long_messages, guest, open_rooms })
    }
}

struct Calls(Connection);

impl Calls {
    async fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self(Connection::open(address).await?))
    }

    /// Returns a new room's short code.
    async fn create_room(&self, token: &str) -> Result<String> {
        let made: CreateChatRoomResponse =
            self.0.unary("/grpcchatter.v1.ChatService/CreateChatRoom", Some(token), &new_room()).await?;
        Ok(made.short_code)
    }

    /// Returns a new room's short code, and its owner's chat token.
    async fn own_room(&self, token: &str) -> Result<(String, String)> {
        let code = self.create_room(token).await?;
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
