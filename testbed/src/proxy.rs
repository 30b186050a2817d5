//! A TCP proxy that cuts, stalls or refuses connections, or breaks one to PostgreSQL at a COMMIT.

use std::{
    collections::VecDeque,
    io, mem,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    task::AbortHandle,
};

use crate::commits::{Commit, Commits};

/// What a proxy does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It passes everything on.
    Open,
    /// It closes every connection, and each new one at once.
    Closed,
    /// It passes nothing on, not even the end of a connection, and closes nothing.
    Stalled,
}

/// What happens to a COMMIT, or to a statement that appends to the log and is committed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// It never arrives: the connection is cut.
    CutBefore,
    /// It is sent, and the connection is cut at once, on both sides: it may still be running.
    CutDuring,
    /// It is done, and the connection is cut before the answer.
    CutAfter,
    /// It waits in the proxy until [`Proxy::release`].
    Hold,
}

/// A proxy on a port of its own. Dropping it closes all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    /// The last is of the connections to come; those before it are of frozen connections.
    links: Mutex<Vec<watch::Sender<Link>>>,
    accepted: AtomicUsize,
    faults: Mutex<VecDeque<CommitFault>>,
    /// How many faults a statement that appends by itself has met.
    appends_met: AtomicUsize,
    met: Notify,
    released: Notify,
}

impl Proxy {
    /// Starts a proxy before `target`, as a task of the runtime that this is called in.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            links: Mutex::new(vec![watch::Sender::new(Link::Open)]),
            accepted: AtomicUsize::new(0),
            faults: Mutex::default(),
            appends_met: AtomicUsize::new(0),
            met: Notify::new(),
            released: Notify::new(),
        });
        let accepting = tokio::spawn(Arc::clone(&shared).accept(listener)).abort_handle();
        Ok(Self { address, shared, accepting })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many connections it has accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Carries new connections to another address, as a name does that was moved.
    pub fn set_target(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Changes what it does, for open connections too.
    pub fn set(&self, link: Link) {
        self.shared.each_open(|open| open.send_modify(|present| *present = link));
    }

    /// Closes the open connections. New ones are as they were.
    pub fn cut(&self) {
        self.shared.each_open(|open| {
            let new = watch::Sender::new(*open.borrow());
            mem::replace(open, new).send_replace(Link::Closed);
        });
    }

    /// Stalls the open connections for good. New ones are open.
    pub fn freeze(&self) {
        self.set(Link::Stalled);
        lock(&self.shared.links).push(watch::Sender::new(Link::Open));
    }

    /// Makes the next COMMITs meet these faults, in this order.
    pub fn fail_commits(&self, faults: impl IntoIterator<Item = CommitFault>) {
        lock(&self.shared.faults).extend(faults);
    }

    /// Returns how many faults no COMMIT has met yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        lock(&self.shared.faults).len()
    }

    /// Returns how many faults were met by a statement that appends to the log and is committed by itself.
    #[must_use]
    pub fn appends_met(&self) -> usize {
        self.shared.appends_met.load(Ordering::Relaxed)
    }

    /// Awaits that a COMMIT has met a fault.
    pub async fn fault_met(&self) {
        self.shared.met.notified().await;
    }

    /// Passes on the COMMIT that is held.
    pub fn release(&self) {
        self.shared.released.notify_one();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for link in &*lock(&self.shared.links) {
            link.send_replace(Link::Closed);
        }
    }
}

impl Shared {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            let Some(link) = lock(&self.links).last().map(watch::Sender::subscribe) else { return };
            if *link.borrow() != Link::Closed {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(Arc::clone(&self).carry(client, link));
            }
        }
    }

    fn each_open(&self, change: impl FnOnce(&mut watch::Sender<Link>)) {
        lock(&self.links).last_mut().map(change);
    }

    /// Carries both directions until one ends; then both sides see the end.
    async fn carry(self: Arc<Self>, client: TcpStream, mut link: watch::Receiver<Link>) {
        let target = *lock(&self.target);
        let Ok(server) = TcpStream::connect(target).await else { return };
        // A proxy that waits for more would add to every delay. What fails here fails at the next read.
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let (up, down, is_cut) = (link.clone(), link.clone(), AtomicBool::new(false));
        tokio::select! {
            _ = link.wait_for(|link| *link == Link::Closed) => {}
            _ = self.pass_requests(from_client, to_server, up, &is_cut) => {}
            _ = pass_answers(from_server, to_client, down, &is_cut) => {}
        }
    }

    async fn pass_requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        mut link: watch::Receiver<Link>,
        is_cut: &AtomicBool,
    ) -> io::Result<()> {
        let (mut buffer, mut commits) = (vec![0; 64 * 1024], Commits::default());
        while let Some(piece) = read(&mut from, &mut buffer, &mut link).await {
            match self.fault_for(commits.find(piece)) {
                None => {}
                Some(CommitFault::CutBefore) => break,
                Some(CommitFault::CutDuring) => {
                    to.write_all(piece).await?;
                    break;
                }
                Some(CommitFault::CutAfter) => is_cut.store(true, Ordering::Release),
                Some(CommitFault::Hold) => self.released.notified().await,
            }
            to.write_all(piece).await?;
        }
        Ok(())
    }

    /// Takes the next fault, where there is one and it meets a COMMIT here.
    fn fault_for(&self, commit: Option<Commit>) -> Option<CommitFault> {
        let commit = commit?;
        let fault = lock(&self.faults).pop_front()?;
        if commit == Commit::Append {
            self.appends_met.fetch_add(1, Ordering::Relaxed);
        }
        self.met.notify_one();
        Some(fault)
    }
}

async fn pass_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
    is_cut: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while let Some(piece) = read(&mut from, &mut buffer, &mut link).await {
        // What comes first after a COMMIT is its answer: it is done.
        if is_cut.load(Ordering::Acquire) {
            break;
        }
        to.write_all(piece).await?;
    }
    Ok(())
}

/// Reads what comes next, and returns it once the link is open; nothing at the end of the connection.
async fn read<'a>(
    from: &mut OwnedReadHalf,
    buffer: &'a mut [u8],
    link: &mut watch::Receiver<Link>,
) -> Option<&'a [u8]> {
    let read = from.read(buffer).await;
    // The end is no more passed on than anything else.
    link.wait_for(|link| *link == Link::Open).await.ok()?;
    match read {
        Ok(count @ 1..) => Some(&buffer[..count]),
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use tokio::process::Command;

    use super::*;
    use crate::Postgres;

    /// The exit code of psql that has lost its connection.
    const LOST: Option<i32> = Some(2);

    /// Makes a table, and returns a proxy with a fault and the psql that inserts a row through it.
    async fn insert(postgres: &Postgres, table: &str, fault: CommitFault) -> Result<(Proxy, Command)> {
        postgres.query(&format!("CREATE TABLE {table} ()")).await?;
        let proxy = Proxy::start(postgres.address()).await?;
        proxy.fail_commits([fault]);
        let mut psql = postgres.psql(&Postgres::url_at(proxy.address(), "postgres"));
        let insert = format!("INSERT INTO {table} DEFAULT VALUES");
        psql.args(["--command", "BEGIN", "--command", &insert, "--command", "COMMIT"]);
        Ok((proxy, psql))
    }

    /// Counts the rows of a table. The lock waits for the end of the transaction that inserts.
    async fn rows(postgres: &Postgres, table: &str) -> Result<String> {
        let (lock, count) = (format!("LOCK TABLE {table}"), format!("SELECT count(*) FROM {table}"));
        postgres.run(&["BEGIN", &lock, &count]).await
    }

    #[tokio::test]
    async fn a_commit_that_is_cut_before_is_never_done() -> Result<()> {
        let Some(postgres) = Postgres::shared().await else { return Ok(()) };
        let (proxy, mut psql) = insert(postgres, "cut_before", CommitFault::CutBefore).await?;
        assert_eq!(psql.output().await?.status.code(), LOST);
        assert_eq!(proxy.faults_left(), 0);
        assert_eq!(rows(postgres, "cut_before").await?, "0");
        Ok(())
    }

    #[tokio::test]
    async fn a_commit_that_is_cut_after_is_done_without_an_answer() -> Result<()> {
        let Some(postgres) = Postgres::shared().await else { return Ok(()) };
        let (proxy, mut psql) = insert(postgres, "cut_after", CommitFault::CutAfter).await?;
        assert_eq!(psql.output().await?.status.code(), LOST);
        assert_eq!(proxy.faults_left(), 0);
        assert_eq!(rows(postgres, "cut_after").await?, "1");
        Ok(())
    }

    #[tokio::test]
    async fn a_commit_that_is_held_is_done_when_it_is_released() -> Result<()> {
        let Some(postgres) = Postgres::shared().await else { return Ok(()) };
        let (proxy, mut psql) = insert(postgres, "held", CommitFault::Hold).await?;
        let mut psql = psql.spawn()?;
        tokio::select! {
            () = proxy.fault_met() => {}
            ended = psql.wait() => panic!("the COMMIT is not held: {ended:?}"),
        }
        assert_eq!(postgres.query("SELECT count(*) FROM held").await?, "0");
        assert_eq!(psql.try_wait()?, None);
        proxy.release();
        assert!(psql.wait().await?.success());
        assert_eq!(rows(postgres, "held").await?, "1");
        Ok(())
    }
}
