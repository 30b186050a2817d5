//! A TCP proxy that can be told to cut what goes through it: at once, or at the next COMMIT.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// Where the connection that commits next is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum AtCommit {
    /// Nowhere.
    Pass,
    /// Before the COMMIT arrives: it is not done.
    Before,
    /// After it has arrived, before its answer: it is done, and nobody is told.
    After,
}

/// A proxy. Dropping it cuts everything.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct State {
    /// Where new connections are carried to.
    target: watch::Sender<SocketAddr>,
    /// Rises with every cut: connections of an earlier number are closed.
    cuts: watch::Sender<u64>,
    refusing: AtomicBool,
    carried: AtomicUsize,
    /// Whether nothing is passed on, and nothing closed.
    silent: watch::Sender<bool>,
    at_commit: AtomicU8,
}

impl Proxy {
    /// Starts a proxy before `target`.
    ///
    /// # Errors
    /// If there is no free port.
    pub(crate) async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            target: watch::Sender::new(target),
            cuts: watch::Sender::new(0),
            refusing: AtomicBool::new(false),
            carried: AtomicUsize::new(0),
            silent: watch::Sender::new(false),
            at_commit: AtomicU8::new(AtCommit::Pass as u8),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !shared.refusing.load(Ordering::Relaxed) {
                    shared.carried.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(Arc::clone(&shared).carry(client));
                }
            }
        });
        Ok(Self { address, state, accepting: accepting.abort_handle() })
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many connections came so far.
    pub(crate) fn carried(&self) -> usize {
        self.state.carried.load(Ordering::Relaxed)
    }

    /// Cuts every connection; new ones are carried to another target.
    pub(crate) fn swing(&self, target: SocketAddr) {
        self.state.target.send_replace(target);
        self.cut();
    }

    /// Cuts every connection; new ones are carried.
    pub(crate) fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts every connection, and new ones at once, until it is told otherwise.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.state.refusing.store(refuse, Ordering::Relaxed);
        if refuse {
            self.cut();
        }
    }

    /// Passes nothing on, without closing anything, until it is told otherwise.
    pub(crate) fn silence(&self, silent: bool) {
        self.state.silent.send_replace(silent);
    }

    /// Cuts the connection that commits next.
    pub(crate) fn cut_at_commit(&self, place: AtCommit) {
        self.state.at_commit.store(place as u8, Ordering::Relaxed);
    }

    /// Says whether the cut that was asked for is still to come.
    pub(crate) fn waits_for_commit(&self) -> bool {
        self.state.at_commit.load(Ordering::Relaxed) != AtCommit::Pass as u8
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl State {
    async fn carry(self: Arc<Self>, client: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        let target = *self.target.borrow();
        let Ok(server) = TcpStream::connect(target).await else { return };
        // A proxy that waits for more would add to every delay. What fails here fails on the next read.
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            _ = cuts.changed() => {}
            _ = self.pump(from_client, to_server, true) => {}
            _ = self.pump(from_server, to_client, false) => {}
        }
    }

    async fn pump(
        &self,
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
        commits: bool,
    ) -> std::io::Result<()> {
        let mut silent = self.silent.subscribe();
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut bytes).await?;
            if count == 0 {
                return Ok(());
            }
            // The sender lives as long as the proxy, which cuts everything at its end.
            drop(silent.wait_for(|silent| !silent).await);
            let place = if commits && bytes[..count].windows(6).any(|word| word == b"COMMIT") {
                self.at_commit.swap(AtCommit::Pass as u8, Ordering::Relaxed)
            } else {
                AtCommit::Pass as u8
            };
            if place != AtCommit::Before as u8 {
                to.write_all(&bytes[..count]).await?;
            }
            if place != AtCommit::Pass as u8 {
                return Ok(());
            }
        }
    }
}
