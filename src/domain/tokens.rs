//! Tokens: made for who may have one, and read back into identities.
//!
//! A signature shows that a token was made here; it does not show that it still counts. A user token's session is
//! looked up on every call. What a chat token or an invitation claims is compared with the room's epochs, and a chat token's
//! session is looked up, by whoever reads the room.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Clock,
    crypto::Keys,
    model::{
        ChatIdentity, Error, Result, RoomId, RoomInvitation, SessionId, ShortCode, Timestamp, TokenKind,
        UserId, UserIdentity, UserName,
    },
    store::{Session, Store},
};

/// How long what is given out stays good.
#[derive(Clone, Copy, Debug)]
pub struct TokenConfig {
    /// User tokens (TOKEN_DURATION).
    pub user: Duration,
    /// Chat tokens (CHAT_TOKEN_DURATION).
    pub chat: Duration,
    /// Sessions since they were refreshed last (SESSION_DURATION).
    pub session: Duration,
    /// Sessions that one user may have (SESSIONS_PER_USER); none: no limit.
    pub sessions_per_user: Option<u32>,
}

impl Default for TokenConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            user: Duration::from_secs(10 * 60),
            chat: DAY,
            session: 30 * DAY,
            sessions_per_user: Some(100),
        }
    }
}

/// Makes and reads the three kinds of token. Clones share the keys.
#[derive(Clone)]
pub struct Tokens {
    store: Store,
    keys: Keys,
    clock: Clock,
    config: TokenConfig,
}

#[derive(Serialize, Deserialize)]
struct UserClaims {
    #[serde(rename = "sub")]
    user: i64,
    name: String,
    role: String,
    #[serde(rename = "sid")]
    session: Uuid,
}

#[derive(Serialize, Deserialize)]
struct RoomClaims {
    room: i64,
    room_epoch: i64,
}

#[derive(Serialize, Deserialize)]
struct ChatClaims {
    #[serde(rename = "sub")]
    user: i64,
    name: String,
    #[serde(rename = "sid")]
    session: Uuid,
    room: i64,
    code: String,
    room_epoch: i64,
    member_epoch: i64,
}

impl Tokens {
    /// Makes a handle.
    pub const fn new(store: Store, keys: Keys, clock: Clock, config: TokenConfig) -> Self {
        Self { store, keys, clock, config }
    }

    /// Reads a user token, and looks its session up.
    ///
    /// # Errors
    /// As [`Self::read_user`] and [`Self::confirm`].
    pub async fn authenticate_user(&self, token: &str) -> Result<UserIdentity> {
        let identity = self.read_user(token)?;
        self.confirm(&identity).await?;
        Ok(identity)
    }

    /// Reads a user token: what it claims. Whether its session lives is another question, which costs a look into the
    /// database: who asks it is known by then.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`], [`Error::TokenWrongKind`].
    pub fn read_user(&self, token: &str) -> Result<UserIdentity> {
        let said: UserClaims = self.keys.verify(TokenKind::User, token, self.clock.now())?.said;
        Ok(UserIdentity {
            user: UserId(said.user),
            user_name: UserName::trusted(said.name),
            session: SessionId(said.session),
        })
    }

    /// Looks up whether the session of a user token lives.
    ///
    /// # Errors
    /// [`Error::TokenRevoked`] where the session has ended or the account cannot log in any more; failures of the
    /// database.
    pub async fn confirm(&self, identity: &UserIdentity) -> Result<()> {
        if self.store.session_is_alive(identity.session, identity.user).await? {
            Ok(())
        } else {
            Err(Error::TokenRevoked)
        }
    }

    /// Reads a chat token: what it claims, which the room decides about.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`], [`Error::TokenWrongKind`].
    pub fn authenticate_chat(&self, token: &str) -> Result<ChatIdentity> {
        let verified = self.keys.verify(TokenKind::Chat, token, self.clock.now())?;
        let said: ChatClaims = verified.said;
        Ok(ChatIdentity {
            user: UserId(said.user),
            user_name: UserName::trusted(said.name),
            session: SessionId(said.session),
            room: RoomId(said.room),
            short_code: ShortCode::trusted(said.code),
            room_epoch: said.room_epoch,
            member_epoch: said.member_epoch,
            expires_at: verified.expires_at,
        })
    }

    /// Reads a room token: what it claims, which the room decides about.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`], [`Error::TokenWrongKind`].
    pub fn read_invitation(&self, token: &str) -> Result<RoomInvitation> {
        let said: RoomClaims = self.keys.verify(TokenKind::Room, token, self.clock.now())?.said;
        Ok(RoomInvitation { room: RoomId(said.room), room_epoch: said.room_epoch })
    }

    /// Makes the user token of a session's present turn: for one turn, always the same.
    pub fn issue_user(&self, session: &Session) -> (String, Timestamp) {
        let account = &session.account;
        let claims = UserClaims {
            user: account.id.0,
            name: account.user_name.as_str().to_owned(),
            role: account.role.as_str().to_owned(),
            session: session.id.0,
        };
        let id = format!("{}.{}", session.id.0.simple(), session.generation);
        self.keys.sign(TokenKind::User, claims, id, session.refreshed_at, self.config.user)
    }

    /// Makes a chat token for a user who entered a room. Returns it with the moment when it ends.
    pub fn issue_chat(
        &self,
        user: &UserIdentity,
        room: RoomId,
        short_code: &ShortCode,
        room_epoch: i64,
        member_epoch: i64,
    ) -> (String, Timestamp) {
        let claims = ChatClaims {
            user: user.user.0,
            name: user.user_name.as_str().to_owned(),
            session: user.session.0,
            room: room.0,
            code: short_code.as_str().to_owned(),
            room_epoch,
            member_epoch,
        };
        self.sign(TokenKind::Chat, claims, self.config.chat)
    }

    /// Makes a room token: an invitation for `ttl`. Returns it with the moment when it ends.
    pub fn issue_invitation(&self, invitation: RoomInvitation, ttl: Duration) -> (String, Timestamp) {
        let claims = RoomClaims { room: invitation.room.0, room_epoch: invitation.room_epoch };
        self.sign(TokenKind::Room, claims, ttl)
    }

    fn sign(&self, kind: TokenKind, claims: impl Serialize, ttl: Duration) -> (String, Timestamp) {
        let id = self.clock.uuid().simple().to_string();
        self.keys.sign(kind, claims, id, self.clock.now(), ttl)
    }

    pub(super) const fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) const fn session_lives(&self) -> Duration {
        self.config.session
    }

    pub(super) const fn sessions_per_user(&self) -> Option<u32> {
        self.config.sessions_per_user
    }
}

#[cfg(test)]
mod tests;
