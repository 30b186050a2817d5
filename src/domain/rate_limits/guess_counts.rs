//! Counts of all guesses: by whom, at what, and the backoff that follows.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::Duration,
};

use super::{
    backoff::{Backoff, Failures},
    guess_target::GuessTarget,
    guess_window::{Admission, GuessWindow},
    known_networks::KnownNetworks,
    sliding_window::SlidingWindow,
};
use crate::{
    domain::two_generation_map::TwoGenerationMap,
    model::{Network, Result, RoomId, SessionId, UserId},
};

/// A target counts as guessed at by many networks after this many wrong passwords within an hour from unknown networks.
const MANY: u32 = 100;

/// Counts of all guesses.
pub(super) struct GuessCounts {
    /// Names are kept as hashes with a random key, so that a long one takes no more memory than a short one.
    hasher: RandomState,
    /// The wrong guesses of each guesser within the hour.
    windows: TwoGenerationMap<Guesser, GuessWindow>,
    /// The wrong passwords of each guesser at each target, so that nobody waits because of others.
    failures: TwoGenerationMap<(Target, Guesser), Failures>,
    /// The wrong passwords at each target from networks that are unknown to it.
    strangers: TwoGenerationMap<Target, SlidingWindow>,
    /// The networks that are known to each account.
    known_networks: TwoGenerationMap<u64, KnownNetworks>,
}

/// Who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Guesser {
    /// One customer of a provider.
    Network(Network),
    /// A larger network, which may belong to one customer as well: see [`Network::region`].
    Region(Network),
    /// A network from which somebody has logged in to the account.
    Known(u64, Network),
    /// A user, from any address.
    User(UserId),
    /// The holder of a session.
    Session(SessionId),
}

/// What is guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Account(u64),
    Room(RoomId),
    /// The account of the caller's session.
    Own,
}

/// The checks that a guess must pass, and what it counts for if it is wrong.
#[derive(Debug, Default)]
pub(super) struct GuessChecks {
    /// The windows that must have room for it.
    windows: Vec<Guesser>,
    /// The backoffs that must be over.
    backoffs: Vec<(Target, Guesser, Backoff)>,
    /// A window that counts it without having to have room for it.
    also_counts_for: Option<Guesser>,
    /// The target that counts it as a stranger's.
    stranger_to: Option<Target>,
    /// The account to which the network becomes known if the password is right.
    makes_known: Option<(u64, Network)>,
}

impl GuessChecks {
    /// Returns the guesser whose bound on waiting attempts applies.
    pub(super) fn waits_under(&self) -> Option<Guesser> {
        self.windows.first().copied()
    }
}

impl GuessCounts {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            windows: TwoGenerationMap::new(),
            failures: TwoGenerationMap::new(),
            strangers: TwoGenerationMap::new(),
            known_networks: TwoGenerationMap::new(),
        }
    }

    /// Returns the checks that a guess must pass.
    pub(super) fn checks(&mut self, address: IpAddr, target: GuessTarget<'_>, now: Duration) -> GuessChecks {
        let here = Guesser::Network(Network::of(address));
        match target {
            GuessTarget::Account(name) => {
                let account = self.hasher.hash_one(name);
                self.account_checks(address, account, now)
            }
            GuessTarget::Own(session) => {
                let own = Guesser::Session(session);
                let backoffs = vec![(Target::Own, own, Backoff::Exponential)];
                GuessChecks { windows: vec![own], backoffs, ..GuessChecks::default() }
            }
            GuessTarget::RoomOfMember(room, user) => {
                let (room, member) = (Target::Room(room), Guesser::User(user));
                let backoffs = vec![(room, member, Backoff::Exponential)];
                GuessChecks { windows: vec![member], backoffs, ..GuessChecks::default() }
            }
            GuessTarget::Room(room, user) => {
                let (room, user) = (Target::Room(room), Guesser::User(user));
                let mut backoffs = vec![(room, user, Backoff::Exponential)];
                backoffs.extend(self.strict_backoff(room, address, now));
                let windows = vec![here, user];
                GuessChecks { windows, backoffs, stranger_to: Some(room), ..GuessChecks::default() }
            }
            GuessTarget::ShortCode(user) => {
                GuessChecks { windows: vec![here, Guesser::User(user)], ..GuessChecks::default() }
            }
        }
    }

    fn account_checks(&mut self, address: IpAddr, account: u64, now: Duration) -> GuessChecks {
        let (target, network) = (Target::Account(account), Network::of(address));
        let here = Guesser::Network(network);
        let makes_known = Some((account, network));
        let mut backoffs = vec![(target, here, Backoff::Exponential)];
        let hashed = self.hasher.hash_one(network);
        // `get` makes no entry: made-up names would otherwise push out the accounts that are remembered.
        if self.known_networks.get(&account).is_some_and(|known| known.contains(hashed, now)) {
            let windows = vec![Guesser::Known(account, network)];
            return GuessChecks {
                windows,
                backoffs,
                also_counts_for: Some(here),
                stranger_to: None,
                makes_known,
            };
        }
        backoffs.extend(self.strict_backoff(target, address, now));
        GuessChecks {
            windows: vec![here],
            backoffs,
            also_counts_for: None,
            stranger_to: Some(target),
            makes_known,
        }
    }

    /// Returns the additional backoff of a stranger where many networks guess at the target. It counts the stranger's own
    /// wrong passwords alone, so the right one is accepted at once from a network that has not guessed wrong.
    fn strict_backoff(
        &mut self,
        target: Target,
        address: IpAddr,
        now: Duration,
    ) -> Option<(Target, Guesser, Backoff)> {
        let many = self.strangers.get_mut(&target).is_some_and(|window| window.left(now, MANY).is_err());
        many.then(|| (target, Guesser::Region(Network::of(address).region()), Backoff::Strict))
    }

    /// Begins an attempt if all of its checks pass at once.
    pub(super) fn begin(&mut self, checks: &GuessChecks, now: Duration, limit: u32) -> Result<Admission> {
        // Windows come first: a guesser with none left is refused for that, not for a backoff.
        let mut admissions = Vec::with_capacity(checks.windows.len() + checks.backoffs.len());
        for guesser in &checks.windows {
            admissions.push(self.windows.entry(*guesser).admit(now, limit)?);
        }
        for (target, guesser, backoff) in &checks.backoffs {
            admissions.push(self.failures.entry((*target, *guesser)).admit(now, *backoff)?);
        }
        if admissions.contains(&Admission::Later) {
            return Ok(Admission::Later);
        }
        checks.windows.iter().for_each(|guesser| self.windows.entry(*guesser).begin());
        for (target, guesser, _) in &checks.backoffs {
            self.failures.entry((*target, *guesser)).begin();
        }
        Ok(Admission::Now)
    }

    /// Counts a wrong guess.
    pub(super) fn failed(&mut self, checks: &GuessChecks, now: Duration) {
        for guesser in checks.windows.iter().chain(&checks.also_counts_for) {
            self.windows.entry(*guesser).count(now);
        }
        for (target, guesser, _) in &checks.backoffs {
            self.failures.entry((*target, *guesser)).count(now);
        }
        if let Some(target) = checks.stranger_to {
            self.strangers.entry(target).add(now);
        }
    }

    /// Ends the backoffs of a guesser who was right, and remembers the network.
    pub(super) fn succeeded(&mut self, checks: &GuessChecks, now: Duration) {
        for (target, guesser, _) in &checks.backoffs {
            self.failures.entry((*target, *guesser)).forgive();
        }
        if let Some((account, network)) = checks.makes_known {
            let hashed = self.hasher.hash_one(network);
            self.known_networks.entry(account).remember(hashed, now);
        }
    }

    /// Ends an attempt, whatever its outcome.
    pub(super) fn end(&mut self, checks: &GuessChecks) {
        checks.windows.iter().for_each(|guesser| self.windows.entry(*guesser).end());
        for (target, guesser, _) in &checks.backoffs {
            let key = (*target, *guesser);
            let failures = self.failures.entry(key);
            failures.end();
            if failures.is_idle() {
                self.failures.remove(&key);
            }
        }
    }

    /// Counts one more attempt that waits. Returns whether the bound allows it.
    pub(super) fn enqueue(&mut self, guesser: Guesser) -> bool {
        self.windows.entry(guesser).enqueue()
    }

    pub(super) fn dequeue(&mut self, guesser: Guesser) {
        self.windows.entry(guesser).dequeue();
    }
}
