//! A proxy before PostgreSQL that understands its messages, so that a connection can be cut right at a COMMIT.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::AbortHandle,
};

use super::{Database, within};

/// What happens to a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It never arrives: the connection is cut.
    CutBefore,
    /// It is done, and the connection is cut before the answer.
    CutAfter,
    /// It waits on the way until [`Proxy::release`].
    Held,
}

/// A proxy before a database. It goes with its test.
pub(crate) struct Proxy {
    address: SocketAddr,
    plan: Arc<Plan>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Plan {
    faults: Mutex<VecDeque<Fault>>,
    struck: Notify,
    released: Notify,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Listens before a database.
    pub(crate) async fn before(database: &Database) -> Self {
        let url = database.url().expect("only PostgreSQL is reached over a network");
        let (_, rest) = url.split_once('@').unwrap();
        let upstream: SocketAddr = rest.split_once('/').unwrap().0.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::<Plan>::default();
        let planned = Arc::clone(&plan);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let plan = Arc::clone(&planned);
                tokio::spawn(async move {
                    let server = TcpStream::connect(upstream).await?;
                    carry(client, server, &plan).await
                });
            }
        })
        .abort_handle();
        Self { address, plan, accepting }
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has the next COMMITs meet these faults.
    pub(crate) fn strike(&self, faults: impl IntoIterator<Item = Fault>) {
        self.plan.faults.lock().unwrap().extend(faults);
    }

    /// Returns how many faults are still to come.
    pub(crate) fn faults_left(&self) -> usize {
        self.plan.faults.lock().unwrap().len()
    }

    /// Awaits that a fault has struck.
    pub(crate) async fn struck(&self) {
        within("a COMMIT", self.plan.struck.notified()).await;
    }

    /// Lets go of the COMMIT that is held.
    pub(crate) fn release(&self) {
        self.plan.released.notify_one();
    }
}

/// Carries both directions until one ends; then both sides see the end.
async fn carry(client: TcpStream, server: TcpStream, plan: &Plan) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let is_mute = AtomicBool::new(false);
    tokio::select! {
        ended = questions(from_client, to_server, plan, &is_mute) => ended,
        ended = answers(from_server, to_client, &is_mute) => ended,
    }
}

async fn questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    is_mute: &AtomicBool,
) -> std::io::Result<()> {
    // The first message has no kind.
    let start = read(&mut from, Vec::new()).await?;
    to.write_all(&start).await?;
    loop {
        let kind = from.read_u8().await?;
        let message = read(&mut from, vec![kind]).await?;
        if kind == b'Q' && message[5..].starts_with(b"COMMIT") {
            let fault = plan.faults.lock().unwrap().pop_front();
            if fault.is_some() {
                plan.struck.notify_one();
            }
            match fault {
                Some(Fault::CutBefore) => return Ok(()),
                Some(Fault::CutAfter) => is_mute.store(true, Ordering::Release),
                Some(Fault::Held) => plan.released.notified().await,
                None => {}
            }
        }
        to.write_all(&message).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_mute: &AtomicBool,
) -> std::io::Result<()> {
    loop {
        let kind = from.read_u8().await?;
        let message = read(&mut from, vec![kind]).await?;
        if !is_mute.load(Ordering::Acquire) {
            to.write_all(&message).await?;
        } else if kind == b'Z' {
            // Ready for the next question: the commit is done.
            return Ok(());
        }
    }
}

/// Reads a message's length, which counts itself, and what follows; returns both after `message`.
async fn read(from: &mut OwnedReadHalf, mut message: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    message.extend(length.to_be_bytes());
    let start = message.len();
    message.resize(start - 4 + usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut message[start..]).await?;
    Ok(message)
}
