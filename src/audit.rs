//! Audit lines about users and their accounts: one line for each event, at INFO, with the target `audit`.
//!
//! fail2ban and similar programs parse these lines (configs/fail2ban), so their format is stable: the peer comes before
//! any text that users have chosen, and the log escapes such text. A name is logged only if an account has it, since
//! users sometimes type a password into the field for the name.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::model::{Payer, RoomId};

/// The target of every line, for directives like `warn,audit=info`.
pub const TARGET: &str = "audit";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`Event::words` describes each of them")]
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
    /// Returns the name for programs, and a sentence.
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

/// Who did it, to whom, and why it was refused. Unknown fields are left out of the line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// The client's address, as reported by trusted proxies.
    pub peer: Option<IpAddr>,
    /// The reason of the refusal.
    pub reason: Option<&'static str>,
    /// The room.
    pub room: Option<RoomId>,
    /// The system's user id of the operator who ran a command.
    pub uid: Option<u32>,
    /// The account's name.
    pub user: Option<&'a str>,
    /// The user who was removed, banned or unbanned.
    pub member: Option<&'a str>,
    /// How many such lines were left out since the last.
    pub more: Option<u64>,
}

impl Entry<'_> {
    /// Returns an entry with this peer.
    pub fn at(peer: IpAddr) -> Self {
        Self { peer: Some(peer), ..Self::default() }
    }

    /// Writes the line.
    pub fn emit(self, event: Event) {
        let (event, sentence) = event.words();
        let peer = self.peer.map(tracing::field::display);
        let room = self.room.map(|room| room.0);
        let Self { reason, uid, user, member, more, .. } = self;
        // The order is part of the format: no text that users have chosen comes before the peer.
        tracing::info!(target: TARGET, event, peer, reason, room, uid, more, user, member, "{sentence}");
    }
}

/// In this time, one line is written for each caller and reason.
const WINDOW: Duration = Duration::from_secs(60);

/// How many lines are written in this time for all callers, so that a flood cannot fill the disk.
const MAX_LINES: usize = 100;

/// Writes that a caller has reached a limit, unless that was written within the last minute.
pub fn limit_hit(payer: Payer, peer: Option<IpAddr>, user: Option<&str>, reason: &'static str) {
    static WRITTEN: LazyLock<Mutex<Written>> = LazyLock::new(Mutex::default);
    let left_out = WRITTEN.lock().admit((customer(payer), reason), Instant::now());
    if let Some(left_out) = left_out {
        let more = (left_out > 0).then_some(left_out);
        Entry { peer, reason: Some(reason), user, more, ..Entry::default() }.emit(Event::LimitHit);
    }
}

/// Returns who counts as one caller. One customer of a provider may hold thousands of networks, whose lines would use
/// up the bound.
fn customer(payer: Payer) -> Payer {
    match payer {
        Payer::User(_) => payer,
        Payer::Network(network) => Payer::Network(network.region()),
    }
}

/// The lines that were written in the current window.
#[derive(Debug, Default)]
struct Written {
    start: Option<Instant>,
    callers: HashSet<(Payer, &'static str)>,
    left_out: u64,
}

impl Written {
    /// Returns how many lines were left out since the last one if a line may be written now.
    fn admit(&mut self, caller: (Payer, &'static str), now: Instant) -> Option<u64> {
        if self.start.is_none_or(|start| now.duration_since(start) >= WINDOW) {
            self.start = Some(now);
            self.callers.clear();
        }
        if self.callers.len() >= MAX_LINES || !self.callers.insert(caller) {
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
        let (mut written, begin) = (Written::default(), Instant::now());
        let caller = |user| (Payer::User(UserId(user)), "RATE_LIMITED");
        assert_eq!(written.admit(caller(0), begin), Some(0));
        assert_eq!(written.admit((caller(0).0, "TOO_MANY_ROOMS"), begin), Some(0), "another limit");
        for _ in 0..1_000 {
            assert_eq!(written.admit(caller(0), begin), None, "the same again");
        }
        let many = (1..10_000).filter(|user| written.admit(caller(*user), begin).is_some()).count();
        assert_eq!(many, MAX_LINES - 2);
        let later = begin + WINDOW;
        let left_out = 9_999 - (MAX_LINES as u64 - 2);
        assert_eq!(written.admit(caller(0), later), Some(left_out));
        assert_eq!(written.admit(caller(1), later), Some(0), "the count starts again");
    }

    #[test]
    fn one_customer_with_many_networks_leaves_lines_to_others() {
        let (mut written, now) = (Written::default(), Instant::now());
        let mut is_written = |address: String| {
            let payer = Payer::at(address.parse().unwrap());
            written.admit((customer(payer), "RATE_LIMITED"), now).is_some()
        };
        let lines = (0..1_000).filter(|nth| is_written(format!("2001:db8:1:{nth:x}::1"))).count();
        assert_eq!(lines, 1);
        assert!(is_written("2001:db8:2::1".to_owned()) && is_written("192.0.2.7".to_owned()));
    }
}
