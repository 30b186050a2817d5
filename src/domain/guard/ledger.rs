use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::Duration,
};

use super::{
    Guess,
    delay::{Failures, Pace},
    guesses::{Guesses, Turn},
    hour::Hour,
    known::Homes,
};
use crate::{
    domain::fading::FadingMap,
    model::{Network, Result, RoomId, SessionId, UserId},
};

/// After so many wrong passwords within an hour from places that are not known to it, a target is taken to be guessed at
/// from many of them.
const MANY: u32 = 100;

/// All that was guessed, by whom and at what.
pub(super) struct Ledger {
    /// Names are kept as hashes with a random key, so that a long one costs no more than a short one.
    hasher: RandomState,
    /// The wrong guesses of each hour.
    hours: FadingMap<Guesser, Guesses>,
    /// The delays of each target, one for each place that guesses at it: nobody waits for what others do.
    delays: FadingMap<(Target, Guesser), Failures>,
    /// The wrong passwords of places that are not known to a target.
    strangers: FadingMap<Target, Hour>,
    /// The networks that are known to each account.
    homes: FadingMap<u64, Homes>,
}

/// Who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Guesser {
    /// A customer of a provider.
    Network(Network),
    /// What may be one customer's where many seem to guess: see [`region`].
    Region(Network),
    /// A network from which somebody has logged in to the account.
    Home(u64, Network),
    /// A user, from wherever.
    User(UserId),
    /// Whoever holds a session.
    Session(SessionId),
}

/// What is guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Account(u64),
    Room(RoomId),
    /// The account of the session that asks.
    Own,
}

/// What a guess has to pass, and what it counts for where it is wrong.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// Whose hours must have room for it.
    hours: Vec<Guesser>,
    /// Which delays must be over.
    delays: Vec<(Target, Guesser, Pace)>,
    /// Whose hour it counts for besides, without having to have room for it.
    besides: Option<Guesser>,
    /// Which target counts it as a stranger's.
    stranger_to: Option<Target>,
    /// Which account's home the network is once the password was right.
    home: Option<(u64, Network)>,
}

impl Terms {
    /// Returns whose queue the guess waits in.
    pub(super) fn queue(&self) -> Option<Guesser> {
        self.hours.first().copied()
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            hours: FadingMap::new(),
            delays: FadingMap::new(),
            strangers: FadingMap::new(),
            homes: FadingMap::new(),
        }
    }

    /// Says what a guess has to pass.
    pub(super) fn terms(&mut self, address: IpAddr, guess: Guess<'_>, now: Duration) -> Terms {
        let here = Guesser::Network(Network::of(address));
        match guess {
            Guess::Account(name) => {
                let account = self.hasher.hash_one(name);
                self.terms_of_account(address, account, now)
            }
            Guess::Own(session) => {
                let own = Guesser::Session(session);
                let delays = vec![(Target::Own, own, Pace::Usual)];
                Terms { hours: vec![own], delays, ..Terms::default() }
            }
            Guess::RoomOfMember(room, user) => {
                let (room, member) = (Target::Room(room), Guesser::User(user));
                let delays = vec![(room, member, Pace::Usual)];
                Terms { hours: vec![member], delays, ..Terms::default() }
            }
            Guess::Room(room, user) => {
                let (room, user) = (Target::Room(room), Guesser::User(user));
                let mut delays = vec![(room, user, Pace::Usual)];
                delays.extend(self.strict(room, address, now));
                Terms { hours: vec![here, user], delays, stranger_to: Some(room), ..Terms::default() }
            }
            Guess::ShortCode(user) => Terms { hours: vec![here, Guesser::User(user)], ..Terms::default() },
        }
    }

    fn terms_of_account(&mut self, address: IpAddr, account: u64, now: Duration) -> Terms {
        let (target, network) = (Target::Account(account), Network::of(address));
        let here = Guesser::Network(network);
        let home = Some((account, network));
        let mut delays = vec![(target, here, Pace::Usual)];
        let place = self.hasher.hash_one(network);
        // Looked at without an entry: any name that is made up would else take the place of one that is remembered.
        if self.homes.get(&account).is_some_and(|homes| homes.contains(place, now)) {
            let hours = vec![Guesser::Home(account, network)];
            return Terms { hours, delays, besides: Some(here), stranger_to: None, home };
        }
        delays.extend(self.strict(target, address, now));
        Terms { hours: vec![here], delays, besides: None, stranger_to: Some(target), home }
    }

    /// Returns the delay that a stranger has besides where many guess at the target. It is the stranger's own as well, so
    /// that whoever guessed nothing wrong yet is let in by the right password at once.
    fn strict(&mut self, target: Target, address: IpAddr, now: Duration) -> Option<(Target, Guesser, Pace)> {
        let many = self.strangers.get_mut(&target).is_some_and(|hour| hour.left(now, MANY).is_err());
        many.then(|| (target, Guesser::Region(Network::of(address).region()), Pace::Strict))
    }

    /// Begins to try one, where all of its terms have room for it at once.
    pub(super) fn begin(&mut self, terms: &Terms, now: Duration, limit: u32) -> Result<Turn> {
        // In this order: whoever has no guesses left hears of that, and of no delay.
        let mut turns = Vec::with_capacity(terms.hours.len() + terms.delays.len());
        for guesser in &terms.hours {
            turns.push(self.hours.entry(*guesser).turn(now, limit)?);
        }
        for (target, guesser, pace) in &terms.delays {
            turns.push(self.delays.entry((*target, *guesser)).turn(now, *pace)?);
        }
        if turns.contains(&Turn::Later) {
            return Ok(Turn::Later);
        }
        terms.hours.iter().for_each(|guesser| self.hours.entry(*guesser).begin());
        for (target, guesser, _) in &terms.delays {
            self.delays.entry((*target, *guesser)).begin();
        }
        Ok(Turn::Now)
    }

    /// Counts one that was wrong.
    pub(super) fn failed(&mut self, terms: &Terms, now: Duration) {
        for guesser in terms.hours.iter().chain(&terms.besides) {
            self.hours.entry(*guesser).count(now);
        }
        for (target, guesser, _) in &terms.delays {
            self.delays.entry((*target, *guesser)).count(now);
        }
        if let Some(target) = terms.stranger_to {
            self.strangers.entry(target).add(now);
        }
    }

    /// Forgets the delays of whoever was right, and remembers where they are at home.
    pub(super) fn succeeded(&mut self, terms: &Terms, now: Duration) {
        for (target, guesser, _) in &terms.delays {
            self.delays.entry((*target, *guesser)).forgive();
        }
        if let Some((account, network)) = terms.home {
            let place = self.hasher.hash_one(network);
            self.homes.entry(account).remember(place, now);
        }
    }

    /// Ends one, however it went.
    pub(super) fn end(&mut self, terms: &Terms) {
        terms.hours.iter().for_each(|guesser| self.hours.entry(*guesser).end());
        for (target, guesser, _) in &terms.delays {
            let key = (*target, *guesser);
            let failures = self.delays.entry(key);
            failures.end();
            if failures.is_idle() {
                self.delays.remove(&key);
            }
        }
    }

    /// Takes a place in a queue, and says whether there was one.
    pub(super) fn queue(&mut self, guesser: Guesser) -> bool {
        self.hours.entry(guesser).queue()
    }

    pub(super) fn leave_queue(&mut self, guesser: Guesser) {
        self.hours.entry(guesser).leave_queue();
    }
}
