//! Accounts and tokens over a temporary database and a manual clock.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use super::{Accounts, Guard, GuardConfig, LogIn, TokenConfig, Tokens};
use crate::{
    clock::Clock,
    crypto::{Keys, Passwords, Secret},
    model::{Password, Timestamp, UserName},
    store::temporary::TemporaryStore,
};
// The gateway's tests use them too, and know of no store.
pub(crate) use crate::store::temporary::{TemporaryDatabase, on_each_database};

pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const PASSWORD: &str = "Passw0rd!";

pub(crate) struct TemporaryDomain {
    pub(crate) store: TemporaryStore,
    pub(crate) clock: Clock,
    pub(crate) tokens: Tokens,
    pub(crate) accounts: Accounts,
}

impl TemporaryDomain {
    pub(crate) async fn open(database: TemporaryDatabase) -> Self {
        let limits = GuardConfig { registrations_per_hour: 0, guesses_per_hour: 0, messages_per_second: 0 };
        Self::guarded(database, limits).await
    }

    pub(crate) async fn guarded(database: TemporaryDatabase, limits: GuardConfig) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_123_400));
        let store = TemporaryStore::open(database, clock.clone()).await;
        let keys = Keys::new(&Secret::generate(&clock).into());
        let tokens = Tokens::new(store.clone(), keys, clock.clone(), TokenConfig::default());
        let passwords = Passwords::start(clock.clone(), 2).unwrap();
        let guard = Guard::new(limits, clock.clone());
        let (ended, deleted) = (Arc::new(|_, _: &[_]| ()), Arc::new(|| ()));
        let accounts =
            Accounts::new(store.clone(), passwords, tokens.clone(), guard, clock.clone(), ended, deleted);
        Self { store, clock, tokens, accounts }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.set(self.clock.now() + by);
    }

    /// Registers somebody and logs them in.
    pub(crate) async fn enter(&self, user_name: &str) -> LogIn {
        let (name, password) = (UserName::parse(user_name).unwrap(), Password::parse(PASSWORD).unwrap());
        self.accounts.register(name, password, HERE).await.unwrap();
        self.accounts.log_in(user_name, PASSWORD, HERE).await.unwrap()
    }
}
