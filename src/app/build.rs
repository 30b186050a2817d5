//! Builds the server from its configuration. This is the only place that connects the parts.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::AtomicBool},
};

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::{
    StartError,
    background::Background,
    bind,
    drain::Drain,
    gauges::{GaugeSources, TableCounts},
    readiness::readiness,
    run::App,
    shard_threads::{ShardThreads, shard_count},
    start_error,
    sweep::Sweeper,
};
use crate::{
    clock::Clock,
    config::{Config, DataDir, SecretSource},
    crypto::{Keys, Passwords, Secrets},
    domain::{Accounts, Budget, Chat, Log, Publisher, RateLimits, Rooms, Tasks, Tokens},
    gateway::{ConnectionLimit, FRAMING, Lifetime, Limits, Parts, Stack, Tls, TlsConfig},
    hub::{Hub, HubConfig},
    store::{DatabaseUrl, Lanes, SetupError, Store},
};

impl App {
    /// Locks the data folder, binds every address, opens and migrates the database.
    ///
    /// # Errors
    /// Where one of these fails.
    pub fn build(config: Config) -> Result<Self, StartError> {
        Self::build_on(config, Vec::new())
    }

    /// As [`Self::build`], but on `sockets` that are bound already. Without any, binds the configured addresses.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn build_on(config: Config, sockets: Vec<TcpListener>) -> Result<Self, StartError> {
        let clock = Clock::system();
        let data_dir = DataDir::lock(&config.data_dir)?;
        let secrets = match &config.secrets {
            SecretSource::Settings(secrets) => secrets.clone(),
            SecretSource::DataDir => data_dir.secrets(&clock)?,
        };
        let (listeners, local_addrs) = bind::bind(sockets, &config.listen, config.metrics.address)?;
        let tls = open_tls(config.tls.as_ref(), &local_addrs, &clock)?;
        let runtime = core_runtime()?;
        let opened = runtime.block_on(open_database(&config.database, clock.clone()));
        let (store, lanes) = opened.map_err(StartError::of(&config.database))?;
        let core = Core::start(&config, &runtime, store, lanes, clock)?;
        let services = Services::new(&config, &secrets, &core)?;
        let names = services.chat.name_cache();
        let budget = Budget::new(config.budget, core.clock.clone());
        let connection_limit = connection_limit(&config, budget.clone());
        let (draining, table_counts) = (Arc::new(AtomicBool::new(false)), TableCounts::default());
        let gauges = GaugeSources {
            hub: core.hub.clone(),
            log: core.log.clone(),
            connection_limit: connection_limit.clone(),
            store: core.store.clone(),
            table_counts: table_counts.clone(),
            tls: tls.clone(),
            draining: Arc::clone(&draining),
        };
        let database = start_error::shown(&config.database);
        let (age, keep_alive) = (config.connections.age, config.connections.keep_alive);
        let (delay, retention) = (config.drain_delay, config.rooms.retention);
        let (stack, health) = Stack::new(services.parts(config, budget, &core, gauges, &draining));
        let lifetime = Lifetime::new(age, keep_alive);
        let stop_accepting = CancellationToken::new();
        let Core { store, hub, publisher, log, tasks, clock } = core;
        let sweeper = Sweeper { store: store.clone(), clock: clock.clone(), retention };
        let background =
            Background { hub: hub.clone(), publisher, table_counts, names, sweeper, tls: tls.clone() };
        let shards =
            ShardThreads { hub: hub.clone(), stack: Arc::new(stack), tls, lifetime: lifetime.clone(), clock };
        let drain = Drain { hub, log, connection_limit, health, lifetime, stop_accepting, draining, delay };
        Ok(Self {
            runtime,
            store,
            tasks,
            background,
            shards,
            drain,
            database,
            listeners,
            local_addrs,
            data_dir,
        })
    }
}

/// What the domain's services share.
struct Core {
    store: Store,
    hub: Hub,
    publisher: Publisher,
    log: Log,
    tasks: Tasks,
    clock: Clock,
}

impl Core {
    fn start(
        config: &Config,
        runtime: &Runtime,
        store: Store,
        lanes: Lanes,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let hub_config = HubConfig {
            shards: shard_count(),
            queue: config.rooms.max_message_queue_size,
            memory: config.rooms.hub_memory.unwrap_or(usize::MAX),
            streams_per_user: limit(config.connections.streams_per_user).unwrap_or(0),
        };
        let tasks = Tasks::new(runtime.handle().clone());
        let hub = Hub::new(hub_config, FRAMING, clock.clone());
        let publisher = Publisher::new(tasks.clone(), store.clone(), hub.clone());
        let log = Log::start(runtime.handle(), lanes, &publisher).map_err(StartError::Runtime)?;
        Ok(Self { store, hub, publisher, log, tasks, clock })
    }
}

/// The domain's services, which the gateway calls.
struct Services {
    accounts: Accounts,
    tokens: Tokens,
    rooms: Rooms,
    chat: Chat,
}

impl Services {
    fn new(config: &Config, secrets: &Secrets, core: &Core) -> Result<Self, StartError> {
        let Core { store, hub, publisher, log, tasks, clock } = core;
        let tokens = Tokens::new(store.clone(), Keys::new(secrets), clock.clone(), config.tokens);
        let passwords = Passwords::start(clock.clone(), shard_count()).map_err(StartError::Runtime)?;
        tasks.spawn(expect_bcrypt(store.clone(), passwords.clone()));
        let rate_limits = RateLimits::new(config.rate_limits, clock.clone());
        let chat = Chat::new(
            store.clone(),
            hub.clone(),
            log.clone(),
            publisher.clone(),
            rate_limits.clone(),
            config.rooms.max_message_size,
        );
        let rooms = Rooms::new(
            store.clone(),
            hub.clone(),
            passwords.clone(),
            tokens.clone(),
            rate_limits.clone(),
            publisher.clone(),
            clock.clone(),
            config.rooms.short_code_length,
            config.rooms.per_user,
        );
        let accounts = Accounts::new(
            store.clone(),
            passwords,
            tokens.clone(),
            rate_limits,
            clock.clone(),
            publisher.clone(),
            chat.name_cache(),
        );
        Ok(Self { accounts, tokens, rooms, chat })
    }

    /// Returns what the gateway's stack is made of.
    fn parts(
        self,
        config: Config,
        budget: Budget,
        core: &Core,
        gauges: GaugeSources,
        draining: &Arc<AtomicBool>,
    ) -> Parts {
        // Never with a self-signed certificate: a browser that has seen the header lets nobody past the next one.
        let strict_transport = matches!(config.tls, Some(TlsConfig::Files(_)));
        Parts {
            accounts: self.accounts,
            tokens: self.tokens,
            budget,
            rooms: self.rooms,
            chat: self.chat,
            readiness: readiness(core.store.clone(), Arc::clone(draining)),
            gauges: Arc::new(move || gauges.read()),
            metrics_token: config.metrics.token,
            cors_origins: config.cors_origins,
            trusted_proxies: config.trusted_proxies,
            web_dir: config.web_dir,
            response_memory: config.connections.answer_memory,
            strict_transport,
            clock: core.clock.clone(),
        }
    }
}

fn core_runtime() -> Result<Runtime, StartError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("core").enable_all().build().map_err(StartError::Runtime)
}

fn open_tls(
    config: Option<&TlsConfig>,
    addresses: &[SocketAddr],
    clock: &Clock,
) -> Result<Option<Tls>, StartError> {
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    Ok(config.map(|config| Tls::open(config, &ips, clock.clone())).transpose()?)
}

async fn open_database(url: &DatabaseUrl, clock: Clock) -> Result<(Store, Lanes), SetupError> {
    let store = Store::connect(url, clock).await?;
    let deployment = store.migrate(url).await?.deployment;
    tracing::info!(deployment, "the database is ready");
    let lanes = store.lanes(url).await?;
    Ok((store, lanes))
}

/// Finds out whether accounts still have bcrypt hashes from the original server. The start does not wait for it, since
/// it scans the table of accounts.
async fn expect_bcrypt(store: Store, passwords: Passwords) {
    // If the database fails, assume that there are some: a refusal then costs more time than it may need to.
    if let Some(hash) = store.find_bcrypt_hash().await.unwrap_or_else(|_| Some(String::new())) {
        passwords.expect_bcrypt(&hash);
    }
}

fn connection_limit(config: &Config, budget: Budget) -> ConnectionLimit {
    let limits = Limits {
        max: limit(config.connections.max),
        max_per_address: limit(config.connections.max_per_address),
    };
    ConnectionLimit::new(limits, config.trusted_proxies.clone(), budget)
}

fn limit(limit: Option<u32>) -> Option<usize> {
    limit.and_then(|limit| usize::try_from(limit).ok())
}
