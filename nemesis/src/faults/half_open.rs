//! Half-open connections: a child process in a network namespace of its own opens a thousand streams; then its link to the
//! server is set down, so that no packet passes and no connection is closed.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::ResumePoint;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    task::JoinSet,
    time::timeout,
};

use crate::{
    client::{Subscription, grpc},
    record::wait_until,
    round::{Round, WAIT_TIMEOUT},
};

/// The number of connections, half of them by native gRPC and half by gRPC-web.
const CONNECTIONS: usize = 1_000;

/// The number of streams that are opened concurrently.
const BATCH: usize = 50;

/// The server must have closed all of them after this time.
const CLOSED_AFTER: Duration = Duration::from_secs(45);

/// The environment variable that gives the child process its chat token.
const TOKEN: &str = "NEMESIS_TOKEN";

/// A network namespace and a veth link to it. Dropping it deletes both.
#[derive(Debug)]
pub(crate) struct VethLink {
    name: String,
    host: Ipv4Addr,
    guest: Ipv4Addr,
}

impl VethLink {
    /// Makes a namespace and a link.
    ///
    /// # Errors
    /// If the machine does not permit it.
    pub(super) fn make() -> Result<Self> {
        let number = std::process::id();
        let [.., subnet] = number.to_be_bytes();
        let (host, guest) = (Ipv4Addr::new(10, 213, subnet, 1), Ipv4Addr::new(10, 213, subnet, 2));
        let name = format!("nemesis{number}");
        ip(&["netns", "add", &name])?;
        let link = Self { name, host, guest };
        let (near, far) = (link.near(), link.far());
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &link.name])?;
        ip(&["address", "add", &format!("{host}/30"), "dev", &near])?;
        ip(&["link", "set", &near, "up"])?;
        ip(&["-netns", &link.name, "address", "add", &format!("{guest}/30"), "dev", &far])?;
        link.set("up")?;
        Ok(link)
    }

    fn near(&self) -> String {
        format!("{}a", self.name)
    }

    fn far(&self) -> String {
        format!("{}b", self.name)
    }

    /// Returns the address of the server's end.
    pub(super) const fn host(&self) -> Ipv4Addr {
        self.host
    }

    fn set(&self, state: &str) -> Result<()> {
        ip(&["-netns", &self.name, "link", "set", &self.far(), state])
    }

    /// Returns the number of established connections from the namespace to a port of the server.
    fn connections(&self, port: u16) -> usize {
        const ESTABLISHED: &str = "01";
        let guest = format!("{:08X}:", u32::from_ne_bytes(self.guest.octets()));
        let port = format!(":{port:04X}");
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let is_ours = |line: &&str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            matches!(columns[..], [_, local, remote, ESTABLISHED, ..]
                if local.ends_with(&port) && remote.starts_with(&guest))
        };
        sockets.lines().filter(is_ours).count()
    }
}

impl Drop for VethLink {
    fn drop(&mut self) {
        // Deleting the namespace deletes the link too.
        drop(ip(&["netns", "delete", &self.name]));
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip cannot be run")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), error.trim());
    Ok(())
}

/// Opens the streams from the namespace, cuts the link, and waits until the server has closed all of them.
pub(super) async fn cut_link(round: &mut Round, link: &VethLink) -> Result<()> {
    let address = round.server.address();
    link.set("up")?;
    let mut clients = tokio::process::Command::new("ip")
        .args(["netns", "exec", &link.name])
        .arg(env::current_exe()?)
        .arg(format!("--silent-clients={address}"))
        .env(TOKEN, &round.members.first().context("no room")?.token)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(clients.stdout.take().context("no standard output")?).lines();
    let opened = timeout(WAIT_TIMEOUT, lines.next_line()).await.context("the streams do not open")??;
    ensure!(opened.is_some(), "the streams cannot be opened");
    let open = link.connections(address.port());
    ensure!(open >= CONNECTIONS, "{open} of {CONNECTIONS} connections are open");
    link.set("down")?;
    let cut = Instant::now();
    let closed = wait_until(WAIT_TIMEOUT, || link.connections(address.port()) == 0).await;
    let took = cut.elapsed();
    round.outcome.count("half-open connections", open);
    round.outcome.maximum("s until they were closed", took.as_secs_f64());
    if !closed || took > CLOSED_AFTER {
        let left = link.connections(address.port());
        let what = format!("half-open connections were to be closed within {CLOSED_AFTER:?}");
        round.violated(format!("{what}: {left} are open after {took:?}"));
    }
    clients.kill().await?;
    Ok(())
}

/// The child process in the namespace: opens the streams, prints a line, and reads nothing from them until it is killed.
#[expect(clippy::print_stdout, reason = "the parent waits for this line")]
pub(crate) async fn hold_silent_streams(address: SocketAddr) -> Result<()> {
    let token = env::var(TOKEN)?;
    let mut streams = Vec::new();
    while streams.len() < CONNECTIONS {
        let mut batch = JoinSet::new();
        for nth in 0..BATCH {
            let native = if nth % 2 == 0 { Some(grpc(address)?) } else { None };
            let token = token.clone();
            batch.spawn(async move {
                Subscription::open(address, native.as_ref(), &token, ResumePoint::default()).await
            });
        }
        while let Some(opened) = batch.join_next().await {
            streams.push(opened??);
        }
    }
    println!("{} streams are open", streams.len());
    std::future::pending().await
}
