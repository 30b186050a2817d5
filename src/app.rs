//! The only wiring: builds every part from the configuration, and runs them until they are told to stop.
//!
//! Code runs in three places: each shard is a thread with a runtime of its own, which serves connections; the core
//! is a runtime of two workers, which talks to the database; passwords are hashed on threads of their own, which go
//! behind the others.
//! The end comes in this order: shards, writers, pools, core.

mod admin;
mod bind;
mod certificate;
mod gauges;
mod heap;
mod names;
mod readiness;
mod ready;
#[cfg(test)]
mod secrecy;
mod start_error;
mod sweep;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::{Config, ConnectionConfig, DataDir, Secrets},
    crypto::{Keys, Passwords},
    domain::{Accounts, Budget, Chat, Guard, Log, Publisher, Rooms, Tokens},
    gateway::{FRAMING, Health, Lifetime, Limits, Listener, Parts, Seats, Shard, Shards, Stack, Tls, shards},
    hub::{Event, Hub, HubConfig},
    model::Error,
    store::{DatabaseUrl, Lanes, SetupError, Store},
};
pub use admin::{Admin, AdminError};
use gauges::{Asked, Census};
use readiness::readiness;
pub use ready::is_ready;
pub use start_error::StartError;
use sweep::Sweeper;

pub use crate::{
    gateway::openapi,
    model::{Timestamp, printable},
    store::AccountRecord,
};

/// Streams are told to connect again after delays that are spread over this.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// How long streams may go on after they were told, so that the telling arrives.
const TELLING: Duration = Duration::from_millis(500);

/// The drain is over after this, whoever is still connected and whatever still waits for the database.
const HARD_END: Duration = Duration::from_secs(8);

/// How long the database may take to be closed. With what is above, the end takes less than ten seconds in all.
const CLOSING: Duration = Duration::from_secs(1);

/// The server with its addresses bound and its database open, ready to run.
pub struct App {
    core: Runtime,
    store: Store,
    hub: Hub,
    log: Log,
    publisher: Publisher,
    chat: Chat,
    stack: Arc<Stack>,
    tls: Option<Tls>,
    health: Health,
    clock: Clock,
    connections: ConnectionConfig,
    seats: Seats,
    /// Where it is, for what is said of it.
    database: String,
    drain_delay: Duration,
    retention: Option<Duration>,
    draining: Arc<AtomicBool>,
    census: Census,
    listeners: Vec<Listener>,
    local_addrs: Vec<SocketAddr>,
    /// Let go last of all.
    data_dir: DataDir,
}

impl App {
    /// Takes the data folder, binds every address, opens and migrates the database.
    ///
    /// # Errors
    /// Where any of them cannot be had.
    pub fn build(config: Config) -> Result<Self, StartError> {
        Self::build_on(config, Vec::new())
    }

    /// Does the same on sockets that somebody has bound for it, if any, in place of the addresses in the settings.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn build_on(config: Config, sockets: Vec<TcpListener>) -> Result<Self, StartError> {
        let clock = Clock::system();
        let data_dir = DataDir::claim(&config.data_dir)?;
        let secrets = match config.secrets {
            Secrets::Given(secrets) => secrets,
            Secrets::Kept => data_dir.secrets(&clock)?,
        };
        let (listeners, local_addrs) = bind::bind(sockets, &config.listen, config.metrics.address)?;
        let ips: Vec<_> = local_addrs.iter().map(SocketAddr::ip).collect();
        // A browser that once knew a made-up certificate as binding could not be let past the next one.
        let strict_transport = matches!(config.tls, Some(crate::gateway::TlsConfig::Files(_)));
        let tls = config.tls.map(|tls| Tls::open(&tls, &ips, clock.clone())).transpose()?;
        let core = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("core")
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let opened = core.block_on(open(&config.database, clock.clone()));
        let (store, lanes) = opened.map_err(StartError::of(&config.database))?;

        let shards = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let hub_config = HubConfig {
            shards,
            queue: config.rooms.max_message_queue_size,
            memory: config.rooms.hub_memory.unwrap_or(usize::MAX),
            streams_per_user: limit(config.connections.streams_per_user).unwrap_or(0),
        };
        let hub = Hub::new(hub_config, FRAMING, clock.clone());
        let publisher = Publisher::new(core.handle().clone(), store.clone(), hub.clone());
        let log = Log::start(core.handle(), lanes, &publisher);

        let tokens = Tokens::new(store.clone(), Keys::new(&secrets), clock.clone(), config.tokens);
        let passwords = Passwords::start(clock.clone(), shards).map_err(StartError::Runtime)?;
        core.spawn(expect_bcrypt(store.clone(), passwords.clone()));
        let guard = Guard::new(config.guard, clock.clone());
        let chat = Chat::new(
            store.clone(),
            hub.clone(),
            log.clone(),
            publisher.clone(),
            guard.clone(),
            config.rooms.max_message_size,
        );
        let rooms = Rooms::new(
            store.clone(),
            hub.clone(),
            passwords.clone(),
            tokens.clone(),
            guard.clone(),
            publisher.clone(),
            clock.clone(),
            config.rooms.short_code_length,
            config.rooms.per_user,
        );
        let accounts = Accounts::new(
            store.clone(),
            passwords,
            tokens.clone(),
            guard,
            clock.clone(),
            publisher.end_streams(),
            {
                let chat = chat.clone();
                Arc::new(move || chat.forget_frames())
            },
        );
        let draining = Arc::new(AtomicBool::new(false));
        let limits = Limits {
            max: limit(config.connections.max),
            max_per_address: limit(config.connections.max_per_address),
        };
        let budget = Budget::new(config.budget, clock.clone());
        let seats = Seats::new(limits, config.trusted_proxies.clone(), budget.clone());
        let census = Census::default();
        let asked = Asked {
            hub: hub.clone(),
            log: log.clone(),
            seats: seats.clone(),
            store: store.clone(),
            census: census.clone(),
            tls: tls.clone(),
            draining: Arc::clone(&draining),
        };
        let (stack, health) = Stack::new(Parts {
            accounts,
            tokens,
            budget,
            answer_memory: config.connections.answer_memory,
            rooms,
            chat: chat.clone(),
            readiness: readiness(store.clone(), Arc::clone(&draining)),
            gauges: Arc::new(move || asked.levels()),
            metrics_token: config.metrics.token,
            cors_origins: config.cors_origins,
            trusted_proxies: config.trusted_proxies,
            web_dir: config.web_dir,
            strict_transport,
            clock: clock.clone(),
        });
        Ok(Self {
            core,
            store,
            hub,
            log,
            publisher,
            chat,
            stack: Arc::new(stack),
            tls,
            health,
            clock,
            connections: config.connections,
            seats,
            database: start_error::shown(&config.database),
            drain_delay: config.drain_delay,
            retention: config.rooms.retention,
            draining,
            census,
            listeners,
            local_addrs,
            data_dir,
        })
    }

    /// Returns the addresses that are bound, with the ports that the system chose.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Returns the handle to the certificate, where the addresses speak TLS.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Serves until `shutdown` is done, and then until every stream has ended with a status and everything that
    /// was taken is stored.
    ///
    /// # Errors
    /// Where a thread cannot be started, or another server has taken the database.
    pub fn run(mut self, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
        let lifetime = Lifetime::new(self.connections.age, self.connections.keep_alive);
        let stop_accepting = CancellationToken::new();
        let (senders, receivers) = shards(thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let mut threads = Vec::new();
        for (index, shard) in receivers.into_iter().enumerate() {
            threads.push(self.start_shard(index, shard, lifetime.clone())?);
        }
        self.start_background();
        self.start_accepting(&senders, &stop_accepting);
        drop(senders);

        let outcome = self.core.block_on(async {
            self.health.set(true);
            tracing::info!(addresses = ?self.local_addrs, "serving");
            let outcome = tokio::select! {
                () = shutdown => Ok(()),
                cause = self.store.taken() => Err(StartError::Database { at: self.database.clone(), cause }),
            };
            self.drain(&lifetime, &stop_accepting).await;
            outcome
        });
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a shard panicked");
            }
        }
        self.core.block_on(async {
            if timeout(CLOSING, self.store.close()).await.is_err() {
                tracing::warn!("the database does not answer: its connections are cut");
            }
        });
        self.core.shutdown_timeout(Duration::from_millis(500));
        drop(self.data_dir);
        tracing::info!("stopped");
        outcome
    }

    /// Starts a shard's thread. It ends when the accept loops have ended and its connections have.
    fn start_shard(
        &self,
        index: usize,
        shard: Shard,
        lifetime: Lifetime,
    ) -> Result<JoinHandle<()>, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
        let (hub, stack, clock) = (self.hub.clone(), Arc::clone(&self.stack), self.clock.clone());
        let tls = self.tls.clone();
        let end = lifetime.end.clone();
        let run = move || {
            runtime.block_on(async {
                tokio::spawn(async move { hub.run_shard(index).await });
                tokio::spawn(shard.serve(index, stack, tls, lifetime, clock));
                end.cancelled().await;
            });
        };
        thread::Builder::new().name(format!("shard-{index}")).spawn(run).map_err(StartError::Runtime)
    }

    fn start_background(&self) {
        let (hub, publisher) = (self.hub.clone(), self.publisher.clone());
        if let Some(tls) = self.tls.clone() {
            self.core.spawn(certificate::watch(tls));
        }
        self.core.spawn(async move { hub.run_presence().await });
        self.core.spawn(async move { publisher.run_poll().await });
        let sweeper =
            Sweeper { store: self.store.clone(), clock: self.clock.clone(), retention: self.retention };
        self.core.spawn(sweeper.run());
        self.core.spawn(names::forget_deleted(self.store.clone(), self.hub.clone(), self.chat.clone()));
        self.core.spawn(self.census.clone().run(self.store.clone()));
        self.core.spawn(heap::give_back());
    }

    fn start_accepting(&mut self, shards: &Shards, stop: &CancellationToken) {
        for listener in self.listeners.drain(..) {
            let (shards, seats, stop) = (shards.clone(), self.seats.clone(), stop.clone());
            self.core.spawn(async move {
                if let Err(error) = listener.run(shards, seats, stop).await {
                    tracing::error!(%error, "an address cannot be served");
                }
            });
        }
    }

    /// Says that the server is going away, goes on for DRAIN_DELAY, and then ends what is left: streams with a
    /// status, connections with GOAWAY once what was asked on them is answered.
    async fn drain(&self, lifetime: &Lifetime, stop_accepting: &CancellationToken) {
        self.draining.store(true, Ordering::Relaxed);
        lifetime.leaving.cancel();
        self.health.set(false);
        sleep(self.drain_delay).await;
        let end = Instant::now() + HARD_END;
        self.log.end_by(end);
        stop_accepting.cancel();
        for room in self.hub.rooms() {
            room.tell_each(|stream| Event::Draining(spread(stream.0)));
        }
        if self.hub.rooms().iter().any(|room| room.has_streams()) {
            sleep(TELLING).await;
        }
        lifetime.drain.cancel();
        let hard_end = sleep_until(end);
        tokio::pin!(hard_end);
        loop {
            let rooms: Vec<_> = self.hub.rooms().into_iter().filter(|room| room.has_streams()).collect();
            for room in &rooms {
                room.end_all(&Error::Draining);
            }
            if rooms.is_empty() && self.seats.are_free() {
                break;
            }
            tokio::select! {
                () = &mut hard_end => break,
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
        self.log.close().await;
        lifetime.end.cancel();
    }
}

async fn open(url: &DatabaseUrl, clock: Clock) -> Result<(Store, Lanes), SetupError> {
    let store = Store::connect(url, clock).await?;
    let deployment = store.migrate(url).await?.deployment;
    tracing::info!(deployment, "the database is ready");
    let lanes = store.lanes(url).await?;
    Ok((store, lanes))
}

/// Looks for accounts that still have the original's hashes. Beside the start, since a large table takes a moment.
async fn expect_bcrypt(store: Store, passwords: Passwords) {
    // Where it cannot be known, the refusals cost more than they may need to.
    if let Some(hash) = store.find_bcrypt_hash().await.unwrap_or_else(|_| Some(String::new())) {
        passwords.expect_bcrypt(&hash);
    }
}

fn limit(limit: Option<u32>) -> Option<usize> {
    limit.and_then(|limit| usize::try_from(limit).ok())
}

/// Returns a delay of at most [`RECONNECT_SPREAD`] that differs from stream to stream.
fn spread(stream: u64) -> Duration {
    RECONNECT_SPREAD.mul_f64((stream.wrapping_mul(0x9e37_79b9) % 1_000) as f64 / 1_000.0)
}
