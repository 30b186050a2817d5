//! What an operator may have to know of people and their accounts: one line each, at INFO, of the target `audit`.
//!
//! fail2ban and the like read these lines (configs/fail2ban), so their form is kept: the peer stands before everything that
//! people have chosen, and the log escapes that. A name is told only where an account has it, since people type passwords
//! where a name is asked for.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::model::{Payer, RoomId};

/// The target of every line, for directives as `warn,audit=info`.
pub const TARGET: &str = "audit";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each one's sentence says what it means")]
pub enum Event {
    Registered,
    LoggedIn,
    LogInFailed,
    LoggedOut,
    OwnPasswordFailed,
    PasswordChanged,
    AccountDeleted,
    SessionReused,
    RoomPasswordFailed,
    RoomPasswordChanged,
    RoomDeleted,
    MemberRemoved,
    MemberBanned,
    MemberUnbanned,
    LimitHit,
    UserAdded,
    UserDisabled,
    UserEnabled,
    PasswordReset,
    BackupMade,
    Migrated,
}

impl Event {
    /// Returns the name that programs compare, and a sentence.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Registered => ("registered", "an account was made"),
            Self::LoggedIn => ("login", "a user logged in"),
            Self::LogInFailed => ("login_failed", "a log-in failed"),
            Self::LoggedOut => ("logout", "a user logged out"),
            Self::OwnPasswordFailed => {
                ("own_password_failed", "a logged-in user gave a wrong password for their account")
            }
            Self::PasswordChanged => ("password_changed", "a user changed their password"),
            Self::AccountDeleted => ("account_deleted", "an account was deleted"),
            Self::SessionReused => {
                ("session_reused", "a used refresh token came back: the session was ended")
            }
            Self::RoomPasswordFailed => ("room_password_failed", "a user gave a wrong password for a room"),
            Self::RoomPasswordChanged => ("room_password_changed", "a room's password was changed"),
            Self::RoomDeleted => ("room_deleted", "a room was deleted"),
            Self::MemberRemoved => ("member_removed", "a member was put out of a room"),
            Self::MemberBanned => ("member_banned", "a user was banned from a room"),
            Self::MemberUnbanned => ("member_unbanned", "a ban was lifted"),
            Self::LimitHit => ("limit_hit", "a limit was reached"),
            Self::UserAdded => ("user_added", "an operator made an account"),
            Self::UserDisabled => ("user_disabled", "an operator disabled an account"),
            Self::UserEnabled => ("user_enabled", "an operator enabled an account"),
            Self::PasswordReset => ("password_reset", "an operator replaced a password"),
            Self::BackupMade => ("backup_made", "an operator copied the database"),
            Self::Migrated => ("migrated", "an operator migrated the database"),
        }
    }
}

/// Who did it, to whom, and why it was refused. What is not known is left out of the line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// The client's address, as trusted proxies tell it.
    pub peer: Option<IpAddr>,
    /// The reason that the caller was told.
    pub reason: Option<&'static str>,
    /// The room.
    pub room: Option<RoomId>,
    /// Who ran an operator's command, as the system numbers users.
    pub uid: Option<u32>,
    /// The account's name.
    pub user: Option<&'a str>,
    /// Whom the user removed, banned or let in again.
    pub member: Option<&'a str>,
    /// How many lines like this were left out since the last.
    pub more: Option<u64>,
}

impl Entry<'_> {
    /// Returns an entry of this peer's.
    pub fn at(peer: IpAddr) -> Self {
        Self { peer: Some(peer), ..Self::default() }
    }

    /// Writes the line.
    pub fn tell(self, event: Event) {
        let (event, sentence) = event.words();
        let peer = self.peer.map(tracing::field::display);
        let room = self.room.map(|room| room.0);
        let Self { reason, uid, user, member, more, .. } = self;
        // The order is the form's: nothing that people have chosen stands before the peer.
        tracing::info!(target: TARGET, event, peer, reason, room, uid, more, user, member, "{sentence}");
    }
}

/// One caller is told of once in this time for each reason.
const WINDOW: Duration = Duration::from_secs(60);

/// So many lines are written in this time for all callers together: a flood must not fill the disk.
const MOST: usize = 100;

/// Writes that a caller has reached a limit, unless it was written a moment ago.
pub fn limit_hit(payer: Payer, peer: Option<IpAddr>, user: Option<&str>, reason: &'static str) {
    static TOLD: LazyLock<Mutex<Told>> = LazyLock::new(Mutex::default);
    let told = TOLD.lock().tell((customer(payer), reason), Instant::now());
    if let Some(left_out) = told {
        let more = (left_out > 0).then_some(left_out);
        Entry { peer, reason: Some(reason), user, more, ..Entry::default() }.tell(Event::LimitHit);
    }
}

/// Returns who counts as one caller. A customer of a provider may hold thousands of networks: their lines would leave none to
/// anybody else.
fn customer(payer: Payer) -> Payer {
    match payer {
        Payer::User(_) => payer,
        Payer::Network(network) => Payer::Network(network.region()),
    }
}

/// What was written in this window.
#[derive(Debug, Default)]
struct Told {
    began: Option<Instant>,
    callers: HashSet<(Payer, &'static str)>,
    left_out: u64,
}

impl Told {
    /// Says whether to write a line now, and how many were left out since the last.
    fn tell(&mut self, caller: (Payer, &'static str), now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            self.began = Some(now);
            self.callers.clear();
        }
        if self.callers.len() >= MOST || !self.callers.insert(caller) {
            self.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    #[test]
    fn a_flood_writes_few_lines_and_says_how_many_it_left_out() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let caller = |user| (Payer::User(UserId(user)), "RATE_LIMITED");
        assert_eq!(told.tell(caller(0), begin), Some(0));
        assert_eq!(told.tell((caller(0).0, "TOO_MANY_ROOMS"), begin), Some(0), "another limit");
        for _ in 0..1_000 {
            assert_eq!(told.tell(caller(0), begin), None, "the same again");
        }
        let many = (1..10_000).filter(|user| told.tell(caller(*user), begin).is_some()).count();
        assert_eq!(many, MOST - 2);
        let later = begin + WINDOW;
        let left_out = 9_999 - (MOST as u64 - 2);
        assert_eq!(told.tell(caller(0), later), Some(left_out));
        assert_eq!(told.tell(caller(1), later), Some(0), "they were told of");
    }

    #[test]
    fn one_customer_with_many_networks_leaves_lines_to_others() {
        let (mut told, now) = (Told::default(), Instant::now());
        let mut tell = |address: String| {
            let payer = Payer::at(address.parse().unwrap());
            told.tell((customer(payer), "RATE_LIMITED"), now).is_some()
        };
        let written = (0..1_000).filter(|nth| tell(format!("2001:db8:1:{nth:x}::1"))).count();
        assert_eq!(written, 1);
        assert!(tell("2001:db8:2::1".to_owned()) && tell("192.0.2.7".to_owned()));
    }
}
