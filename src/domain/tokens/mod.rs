//! Tokens: issuing them, and reading them back into identities.
//!
//! A signature proves that this server issued a token, not that the token is still valid. A user token's session is looked
//! up on every call. The claims of a chat token or an invitation are compared with the room's epochs, and a chat token's
//! session is looked up, when the room is read.

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

/// Lifetimes of tokens and sessions.
#[derive(Clone, Copy, Debug)]
pub struct TokenConfig {
    /// User tokens (`TOKEN_DURATION`).
    pub user: Duration,
    /// Chat tokens (`CHAT_TOKEN_DURATION`).
    pub chat: Duration,
    /// Sessions, from the last refresh (`SESSION_DURATION`).
    pub session: Duration,
    /// How many sessions one user may have (`SESSIONS_PER_USER`); `None`: no limit.
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

/// Issues and reads the three kinds of token. Clones share the keys.
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
    /// Creates the service.
    pub const fn new(store: Store, keys: Keys, clock: Clock, config: TokenConfig) -> Self {
        Self { store, keys, clock, config }
    }

    /// Reads a user token and looks up its session.
    ///
    /// # Errors
    /// As [`Self::read_user`] and [`Self::confirm`].
    pub async fn authenticate_user(&self, token: &str) -> Result<UserIdentity> {
        let identity = self.read_user(token)?;
        self.confirm(&identity).await?;
        Ok(identity)
    }

    /// Reads the claims of a user token. [`Self::confirm`] then looks up its session: that costs a read of the
    /// database, which can be charged to the user by then.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`], [`Error::TokenWrongKind`].
    pub fn read_user(&self, token: &str) -> Result<UserIdentity> {
        let claims: UserClaims = self.keys.verify(TokenKind::User, token, self.clock.now())?.claims;
        Ok(UserIdentity {
            user: UserId(claims.user),
            user_name: UserName::trusted(claims.name),
            session: SessionId(claims.session),
        })
    }

    /// Looks up whether the session of a user token is alive.
    ///
    /// # Errors
    /// [`Error::TokenRevoked`] where the session has ended or the account is disabled or deleted; failures of the
    /// database.
    pub async fn confirm(&self, identity: &UserIdentity) -> Result<()> {
        if self.store.session_is_alive(identity.session, identity.user).await? {
            Ok(())
        } else {
            Err(Error::TokenRevoked)
        }
    }

    /// Reads the claims of a chat token. Whether they still hold is checked when the room is read.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`], [`Error::TokenWrongKind`].
    pub fn read_chat(&self, token: &str) -> Result<ChatIdentity> {
        let verified = self.keys.verify(TokenKind::Chat, token, self.clock.now())?;
        let claims: ChatClaims = verified.claims;
        Ok(ChatIdentity {
            user: UserId(claims.user),
            user_name: UserName::trusted(claims.name),
            session: SessionId(claims.session),
            room: RoomId(claims.room),
            short_code: ShortCode::trusted(claims.code),
            room_epoch: claims.room_epoch,
            member_epoch: claims.member_epoch,
            expires_at: verified.expires_at,
        })
    }

    /// Reads the claims of a room token. Whether they still hold is checked when the room is read.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`], [`Error::TokenWrongKind`].
    pub fn read_invitation(&self, token: &str) -> Result<RoomInvitation> {
        let claims: RoomClaims = self.keys.verify(TokenKind::Room, token, self.clock.now())?.claims;
        Ok(RoomInvitation { room: RoomId(claims.room), room_epoch: claims.room_epoch })
    }

    /// Issues the user token of a session's current generation: always the same token for the same generation.
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

    /// Issues a chat token for a user who joined a room. Returns it with its expiry.
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

    /// Issues a room token, which is an invitation. Returns it with its expiry.
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

    pub(super) const fn session_ttl(&self) -> Duration {
        self.config.session
    }

    pub(super) const fn sessions_per_user(&self) -> Option<u32> {
        self.config.sessions_per_user
    }
}

#[cfg(test)]
mod tests;
