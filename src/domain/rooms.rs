//! Rooms: creating, changing, deleting, listing and joining them; removing and banning users.

use std::{net::IpAddr, time::Duration};

use super::{
    publisher::Publisher,
    rate_limits::{GuessTarget, RateLimits},
    short_code,
    tokens::Tokens,
};
use crate::{
    audit::{self, Entry},
    clock::Clock,
    crypto::{Passwords, Verdict},
    hub::{Event, Hub},
    model::{
        Error, Payer, Rejoin, Result, Room, RoomId, RoomInvitation, RoomName, RoomPassword, ShortCode,
        Timestamp, UserIdentity, UserName,
    },
    store::{FoundRoom, FoundUser, NewRoom, RoomPage, RoomRecord, Store},
};

/// The default lifetime of an invitation.
const DEFAULT_INVITATION_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest lifetime of an invitation.
const MAX_INVITATION_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many codes are tried for a new room. With the shortest codes, 14 million rooms must exist before one try in ten
/// fails.
const CODE_TRIES: usize = 16;

/// Creates, changes, deletes, lists and joins rooms. Clones share everything.
#[derive(Clone)]
pub struct Rooms {
    store: Store,
    hub: Hub,
    passwords: Passwords,
    tokens: Tokens,
    rate_limits: RateLimits,
    publisher: Publisher,
    clock: Clock,
    short_code_length: usize,
    max_owned: Option<u32>,
}

/// What a user presents to join a room.
pub enum JoinCredential {
    /// The room's code, and its password, which may be empty.
    Code(ShortCode, RoomPassword),
    /// A room token.
    Invitation(String),
}

/// A room that a user has joined.
pub struct JoinedRoom {
    /// The chat token.
    pub token: String,
    /// When the chat token expires.
    pub expires_at: Timestamp,
    /// The room.
    pub room: Room,
}

impl Rooms {
    /// Creates the service.
    #[expect(clippy::too_many_arguments, reason = "called once, in app")]
    pub fn new(
        store: Store,
        hub: Hub,
        passwords: Passwords,
        tokens: Tokens,
        rate_limits: RateLimits,
        publisher: Publisher,
        clock: Clock,
        short_code_length: usize,
        max_owned: Option<u32>,
    ) -> Self {
        Self { store, hub, passwords, tokens, rate_limits, publisher, clock, short_code_length, max_owned }
    }

    /// Creates a room that the caller owns.
    ///
    /// # Errors
    /// [`Error::TooManyRooms`], [`Error::Overloaded`], and failures of the database.
    pub async fn create(
        &self,
        caller: &UserIdentity,
        name: RoomName,
        password: RoomPassword,
    ) -> Result<Room> {
        let password_hash = self.hash(caller, &password).await?;
        for _ in 0..CODE_TRIES {
            let new = NewRoom {
                short_code: short_code::draw(&self.clock, self.short_code_length),
                name: name.clone(),
                password_hash: password_hash.clone(),
                owner: caller.user,
                max_rooms: self.max_owned,
            };
            if let Some(room) = self.store.create_room(new).await? {
                return Ok(room);
            }
        }
        tracing::error!(length = self.short_code_length, "no short code is free: raise SHORT_CODE_LENGTH");
        Err(Error::Internal)
    }

    /// Renames a room, changes its password, or both. A new password revokes every chat token but the owner's.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] for a caller who is not in the room, [`Error::NotRoomOwner`], [`Error::RateLimited`],
    /// [`Error::Overloaded`]; failures of the database.
    pub async fn update(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        name: Option<RoomName>,
        password: Option<RoomPassword>,
        address: IpAddr,
    ) -> Result<Room> {
        let record = self.owned(caller, code, address).await?;
        let password_hash = match &password {
            Some(password) => Some(self.hash(caller, password).await?),
            None => None,
        };
        let is_renamed = name.is_some();
        // Setting no password where there was none revokes tokens, but changes no password.
        let is_password_changed = record.password_hash.is_some() || password_hash.iter().any(Option::is_some);
        let updated = self.store.update_room(record.room.id, name, password_hash).await?;
        let room = updated.ok_or_else(|| Error::RoomNotFound(code.clone()))?;
        if password.is_some() {
            if is_password_changed {
                entry(caller, room.id, address).emit(audit::Event::RoomPasswordChanged);
            }
            self.publisher.recheck(room.id).await?;
        }
        if is_renamed && let Some(open) = self.hub.get(room.id) {
            open.publish_event(&Event::RoomUpdated(room.clone()));
        }
        Ok(room)
    }

    /// Deletes a room and its messages, and ends its streams.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] for a caller who is not in the room, [`Error::NotRoomOwner`], [`Error::RateLimited`];
    /// failures of the database.
    pub async fn delete(&self, caller: &UserIdentity, code: &ShortCode, address: IpAddr) -> Result<()> {
        let record = self.owned(caller, code, address).await?;
        self.store.delete_room(record.room.id).await?;
        entry(caller, record.room.id, address).emit(audit::Event::RoomDeleted);
        if let Some(room) = self.hub.get(record.room.id) {
            self.hub.close(&room, &Error::RoomNotFound(code.clone()));
        }
        Ok(())
    }

    /// Lists the rooms that the caller owns or has joined, the most recently active first.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn list(
        &self,
        caller: &UserIdentity,
        after: Option<RoomPage>,
        size: usize,
    ) -> Result<(Vec<Room>, Option<RoomPage>)> {
        self.store.list_rooms(caller.user, after, size).await
    }

    /// Creates an invitation. Returns the room token and its expiry.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for a `ttl` below 1 second or above 30 days, [`Error::RoomNotFound`] for a caller who is
    /// not in the room, [`Error::NotRoomOwner`], [`Error::RateLimited`]; failures of the database.
    pub async fn invite(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        ttl: Option<Duration>,
        address: IpAddr,
    ) -> Result<(String, Timestamp)> {
        let ttl = ttl.unwrap_or(DEFAULT_INVITATION_TTL);
        if ttl.as_secs() == 0 || ttl > MAX_INVITATION_TTL {
            return Err(Error::InvalidField {
                field: "ttl",
                problem: "an invitation lives 1 second to 30 days",
            });
        }
        let record = self.owned(caller, code, address).await?;
        let invitation = RoomInvitation { room: record.room.id, room_epoch: record.epoch };
        Ok(self.tokens.issue_invitation(invitation, ttl))
    }

    /// Removes a user from a room and ends their streams. Banning a name that nobody has gets the same answer, so that
    /// it does not reveal who exists.
    ///
    /// # Errors
    /// [`Error::UserNotFound`] where they are not a member, unless this bans them; [`Error::InvalidField`] for the owner;
    /// [`Error::RoomNotFound`], [`Error::NotRoomOwner`], [`Error::RateLimited`]; failures of the database.
    pub async fn remove(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        user_name: &str,
        rejoin: Rejoin,
        address: IpAddr,
    ) -> Result<()> {
        let record = self.owned(caller, code, address).await?;
        let found = self.user(&record, user_name).await?;
        let user = found.map(|found| found.user);
        if user == Some(record.room.owner) {
            return Err(Error::InvalidField {
                field: "user_name",
                problem: "the owner cannot be put out of the room",
            });
        }
        let is_member = found.and_then(|found| found.membership).is_some_and(|member| member.joined);
        if rejoin == Rejoin::Allowed && !is_member {
            return Err(Error::UserNotFound);
        }
        if self.store.end_membership(record.room.id, user, rejoin).await? {
            let event = match rejoin {
                Rejoin::Banned => audit::Event::MemberBanned,
                Rejoin::Allowed => audit::Event::MemberRemoved,
            };
            Entry { member: Some(user_name), ..entry(caller, record.room.id, address) }.emit(event);
        }
        if let Some(user) = user {
            self.hub.leave(record.room.id, user);
        }
        self.publisher.recheck(record.room.id).await
    }

    /// Lifts a ban. As with banning, the answer does not reveal whether the user exists.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`], [`Error::NotRoomOwner`], [`Error::RateLimited`]; failures of the database.
    pub async fn unban(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        user_name: &str,
        address: IpAddr,
    ) -> Result<()> {
        let record = self.owned(caller, code, address).await?;
        let found = self.user(&record, user_name).await?;
        if self.store.unban(record.room.id, found.map(|found| found.user)).await? {
            Entry { member: Some(user_name), ..entry(caller, record.room.id, address) }
                .emit(audit::Event::MemberUnbanned);
        }
        Ok(())
    }

    /// Joins a room: with its password, with an invitation, or, for members, with the code alone.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`], [`Error::WrongRoomPassword`], [`Error::Banned`], [`Error::RateLimited`], what is
    /// wrong with an invitation; failures of the database.
    pub async fn join(
        &self,
        caller: &UserIdentity,
        credential: JoinCredential,
        address: IpAddr,
    ) -> Result<JoinedRoom> {
        let record = match credential {
            JoinCredential::Code(code, password) => {
                let found = self.find(caller, code, address).await?;
                self.check_password(caller, &found, &password, address).await?;
                found.record
            }
            JoinCredential::Invitation(token) => {
                let invitation = self.tokens.read_invitation(&token)?;
                let record = self.store.room_by_id(invitation.room).await?;
                let record = record.ok_or_else(|| Error::RoomNotFound(ShortCode::trusted("")))?;
                if record.epoch != invitation.room_epoch {
                    return Err(Error::TokenRevoked);
                }
                record
            }
        };
        let room = record.room;
        // As docs/security.md says, a user may enter twice as many rooms as they may own.
        let max_joined = self.max_owned.map(|owned| owned.saturating_mul(2));
        let joined = self.store.join_room(&room, record.epoch, caller, max_joined).await?;
        let member_epoch = joined.ok_or_else(|| Error::Banned(room.short_code.clone()))?;
        self.hub.enter(room.id, caller.user, &caller.user_name.shared());
        let (token, expires_at) =
            self.tokens.issue_chat(caller, room.id, &room.short_code, record.epoch, member_epoch);
        Ok(JoinedRoom { token, expires_at, room })
    }

    /// Finds a room by its code. A code that no room has counts as a wrong guess, since rooms without a password could
    /// otherwise be found by trying. A caller who may know of the room needs no guess.
    async fn find(&self, caller: &UserIdentity, code: ShortCode, address: IpAddr) -> Result<FoundRoom> {
        let found = self.store.find_room(&code, caller.user).await?;
        if let Some(found) = found.as_ref().filter(|found| may_know(caller, found) || is_banned(found)) {
            return Ok(found.clone());
        }
        let attempt = self.rate_limits.guess(address, GuessTarget::ShortCode(caller.user)).await?;
        found.ok_or_else(|| {
            attempt.failed();
            Error::RoomNotFound(code)
        })
    }

    /// Finds a room that the caller owns. A caller who is not in the room gets the answer of a code that no room has,
    /// after the same work, and it counts as the same wrong guess.
    async fn owned(&self, caller: &UserIdentity, code: &ShortCode, address: IpAddr) -> Result<RoomRecord> {
        let found = self.store.find_room(code, caller.user).await?;
        match found.filter(|found| may_know(caller, found)) {
            Some(found) if found.record.room.owner == caller.user => Ok(found.record),
            Some(_) => Err(Error::NotRoomOwner(code.clone())),
            None => {
                self.rate_limits.guess(address, GuessTarget::ShortCode(caller.user)).await?.failed();
                Err(Error::RoomNotFound(code.clone()))
            }
        }
    }

    /// Checks the password if there is one; otherwise whether the caller may join without, which is no guess.
    async fn check_password(
        &self,
        caller: &UserIdentity,
        found: &FoundRoom,
        password: &RoomPassword,
        address: IpAddr,
    ) -> Result<()> {
        let FoundRoom { record, membership } = found;
        let (room, code, hash) = (record.room.id, &record.room.short_code, record.password_hash.clone());
        if is_banned(found) {
            return Err(Error::Banned(code.clone()));
        }
        let is_owner = record.room.owner == caller.user;
        let is_member = membership.is_some_and(|member| member.joined && member.room_epoch == record.epoch);
        if password.is_empty() {
            let may_join = hash.is_none() || is_member || is_owner;
            return if may_join { Ok(()) } else { Err(Error::WrongRoomPassword(code.clone())) };
        }
        let needs_none = is_member || is_owner;
        let target = if needs_none { GuessTarget::RoomOfMember } else { GuessTarget::Room };
        let attempt = self.rate_limits.guess(address, target(room, caller.user)).await?;
        let admitted = self.passwords.admit(Payer::User(caller.user))?;
        let verdict = admitted.verify(password.given(), hash.clone()).await?;
        if verdict == Verdict::Wrong {
            attempt.failed();
            let refused = Error::WrongRoomPassword(code.clone());
            let reason = Some(refused.reason());
            Entry { reason, ..entry(caller, room, address) }.emit(audit::Event::RoomPasswordFailed);
            return Err(refused);
        }
        attempt.succeeded();
        if let (Verdict::RightNeedsRehash, Some(verified)) = (verdict, hash) {
            self.rehash(caller, room, password, verified).await;
        }
        Ok(())
    }

    /// Rehashes a room's password. If that fails, the next user who joins tries again.
    async fn rehash(&self, caller: &UserIdentity, room: RoomId, password: &RoomPassword, verified: String) {
        if let Ok(Some(hash)) = self.hash(caller, password).await {
            // The store has logged a failure of the database.
            drop(self.store.rehash_room_password(room, verified, hash).await);
        }
    }

    /// Finds a user by name, with their membership of the room.
    async fn user(&self, record: &RoomRecord, user_name: &str) -> Result<Option<FoundUser>> {
        match UserName::lookup(user_name) {
            Some(user_name) => self.store.find_user(&user_name, record.room.id).await,
            None => Ok(None),
        }
    }

    async fn hash(&self, caller: &UserIdentity, password: &RoomPassword) -> Result<Option<String>> {
        if password.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.passwords.hash(Payer::User(caller.user), password.given().expose()).await?))
    }
}

fn entry(caller: &UserIdentity, room: RoomId, address: IpAddr) -> Entry<'_> {
    Entry { room: Some(room), user: Some(caller.user_name.as_str()), ..Entry::at(address) }
}

/// Returns whether the caller may know that the room exists: its owner and its members may.
fn may_know(caller: &UserIdentity, found: &FoundRoom) -> bool {
    let is_member = found.membership.is_some_and(|member| member.joined && !member.banned);
    is_member || found.record.room.owner == caller.user
}

fn is_banned(found: &FoundRoom) -> bool {
    found.membership.is_some_and(|member| member.banned)
}
