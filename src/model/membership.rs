//! Decides whether a chat token still opens its room.

use super::{ChatIdentity, Error, Result, UserId};

/// A user's membership of a room as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMembership {
    /// Whether the user is a member.
    pub joined: bool,
    /// Whether the user may not come back.
    pub banned: bool,
    /// Rises whenever the membership ends.
    pub epoch: i64,
}

/// What the database holds about the claims of a chat token.
#[derive(Clone, Copy, Debug)]
pub struct ChatFacts {
    /// The room's owner.
    pub owner: UserId,
    /// The room's epoch, which rises with every new password.
    pub room_epoch: i64,
    /// The user's membership; `None` if they never entered the room.
    pub membership: Option<StoredMembership>,
    /// Whether the session that entered the room is alive.
    pub session_is_alive: bool,
}

impl ChatFacts {
    /// Compares the claims of a chat token with the facts. A new room password ends every token but the owner's.
    ///
    /// # Errors
    /// [`Error::TokenRevoked`], [`Error::Banned`], [`Error::NotAMember`].
    pub fn check(&self, identity: &ChatIdentity) -> Result<()> {
        if !self.session_is_alive {
            return Err(Error::TokenRevoked);
        }
        let code = || identity.short_code.clone();
        match self.membership {
            Some(StoredMembership { banned: true, .. }) => Err(Error::Banned(code())),
            Some(StoredMembership { joined: true, epoch, .. }) if epoch == identity.member_epoch => {
                if self.room_epoch == identity.room_epoch || self.owner == identity.user {
                    Ok(())
                } else {
                    Err(Error::TokenRevoked)
                }
            }
            _ => Err(Error::NotAMember(code())),
        }
    }
}

/// Whether a user whose membership ends may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejoin {
    /// With the short code and the room's password.
    Allowed,
    /// Not until the ban is lifted.
    Banned,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{RoomId, SessionId, ShortCode, Timestamp, UserName};

    fn token() -> ChatIdentity {
        ChatIdentity {
            user: UserId(1),
            user_name: UserName::trusted("walker1"),
            session: SessionId(Uuid::nil()),
            room: RoomId(1),
            short_code: ShortCode::trusted("aaaaaa"),
            room_epoch: 5,
            member_epoch: 7,
            expires_at: Timestamp::from_seconds(1_800_000_000),
        }
    }

    const MEMBER: StoredMembership = StoredMembership { joined: true, banned: false, epoch: 7 };
    const FACTS: ChatFacts =
        ChatFacts { owner: UserId(2), room_epoch: 5, membership: Some(MEMBER), session_is_alive: true };

    #[test]
    fn a_member_with_a_living_session_may_be_in_the_room() {
        assert!(FACTS.check(&token()).is_ok());
    }

    #[test]
    fn the_end_of_the_session_ends_the_token_of_anybody() {
        let banned = Some(StoredMembership { banned: true, ..MEMBER });
        for membership in [FACTS.membership, banned, None] {
            let facts = ChatFacts { session_is_alive: false, membership, ..FACTS };
            assert!(matches!(facts.check(&token()), Err(Error::TokenRevoked)));
        }
    }

    #[test]
    fn a_token_of_an_earlier_membership_or_of_none_is_refused() {
        let left = StoredMembership { joined: false, ..MEMBER };
        let rejoined = StoredMembership { epoch: 8, ..MEMBER };
        for membership in [None, Some(left), Some(rejoined)] {
            let facts = ChatFacts { membership, ..FACTS };
            assert!(matches!(facts.check(&token()), Err(Error::NotAMember(_))), "{membership:?}");
        }
    }

    #[test]
    fn a_banned_user_is_refused_as_banned() {
        for joined in [true, false] {
            let membership = Some(StoredMembership { joined, banned: true, ..MEMBER });
            let facts = ChatFacts { membership, ..FACTS };
            assert!(matches!(facts.check(&token()), Err(Error::Banned(_))));
        }
    }

    #[test]
    fn a_new_room_password_ends_every_token_except_the_owners() {
        let facts = ChatFacts { room_epoch: 6, ..FACTS };
        assert!(matches!(facts.check(&token()), Err(Error::TokenRevoked)));
        assert!(ChatFacts { owner: UserId(1), ..facts }.check(&token()).is_ok());
    }
}
