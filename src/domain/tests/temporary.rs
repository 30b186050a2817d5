//! Accounts and tokens over a temporary database and a manual clock.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use tokio::runtime::Handle;

use crate::domain::{
    Accounts, IssuedTokens, NameCache, Publisher, RateLimitConfig, RateLimits, Tasks, TokenConfig, Tokens,
    history::History,
};
use crate::{
    clock::Clock,
    crypto::{Keys, Passwords, Secret},
    hub::{Framing, Hub, HubConfig},
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
        let limits =
            RateLimitConfig { registrations_per_hour: 0, guesses_per_hour: 0, messages_per_second: 0 };
        Self::with_limits(database, limits).await
    }

    pub(crate) async fn with_limits(database: TemporaryDatabase, limits: RateLimitConfig) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_123_400));
        let store = TemporaryStore::open(database, clock.clone()).await;
        let keys = Keys::new(&Secret::generate(&clock).into());
        let tokens = Tokens::new(store.clone(), keys, clock.clone(), TokenConfig::default());
        let passwords = Passwords::start(clock.clone(), 2).unwrap();
        let rate_limits = RateLimits::new(limits, clock.clone());
        let config = HubConfig { shards: 1, queue: 1, memory: 0, streams_per_user: 0 };
        let framing = Framing { message: |_, _, _| (), event: |_, _| () };
        let (tasks, hub) = (Tasks::new(Handle::current()), Hub::new(config, framing, clock.clone()));
        let publisher = Publisher::new(tasks.clone(), store.clone(), hub.clone());
        let names = NameCache::new(hub, History::new(store.clone(), framing), tasks);
        let accounts = Accounts::new(
            store.clone(),
            passwords,
            tokens.clone(),
            rate_limits,
            clock.clone(),
            publisher,
            names,
        );
        Self { store, clock, tokens, accounts }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.set(self.clock.now() + by);
    }

    /// Registers a user and logs them in.
    pub(crate) async fn register(&self, user_name: &str) -> IssuedTokens {
        let (name, password) = (UserName::parse(user_name).unwrap(), Password::parse(PASSWORD).unwrap());
        self.accounts.register(name, password, HERE).await.unwrap();
        self.accounts.log_in(user_name, PASSWORD, HERE).await.unwrap()
    }
}
