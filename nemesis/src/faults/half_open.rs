//! Clients whose network goes away: a network of their own, a process in it that opens a thousand streams, and a link
//! between it and the server that is cut, so that nothing is closed and nothing is answered any more.

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
    record::until,
    round::{PATIENCE, Round},
};

/// So many connections there are, half of them by native gRPC and half by gRPC-web.
const CONNECTIONS: usize = 1_000;

/// So many of them are opened at once.
const AT_ONCE: usize = 50;

/// They must be gone by then.
const REAPED: Duration = Duration::from_secs(45);

/// How the process in the other network is told whose streams to open.
const TOKEN: &str = "NEMESIS_TOKEN";

/// A network of its own, and a link to it. Dropping it takes both away.
#[derive(Debug)]
pub(crate) struct Link {
    name: String,
    host: Ipv4Addr,
    guest: Ipv4Addr,
}

impl Link {
    /// Makes a network and a link.
    ///
    /// # Errors
    /// If this may not be.
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

    /// Returns the address at this end.
    pub(super) const fn host(&self) -> Ipv4Addr {
        self.host
    }

    fn set(&self, state: &str) -> Result<()> {
        ip(&["-netns", &self.name, "link", "set", &self.far(), state])
    }

    /// Returns how many connections from the other end a server's port has.
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

impl Drop for Link {
    fn drop(&mut self) {
        // The link goes with its network, if it was made at all.
        drop(ip(&["netns", "delete", &self.name]));
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

/// Opens the streams from the other network, cuts the link, and awaits that the server lets go of them.
pub(super) async fn strike(round: &mut Round, link: &Link) -> Result<()> {
    let address = round.server.address();
    link.set("up")?;
    let mut clients = tokio::process::Command::new("ip")
        .args(["netns", "exec", &link.name])
        .arg(env::current_exe()?)
        .arg(format!("--silent-clients={address}"))
        .env(TOKEN, &round.seats.first().context("no room")?.token)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(clients.stdout.take().context("no standard output")?).lines();
    let opened = timeout(PATIENCE, lines.next_line()).await.context("the streams do not open")??;
    ensure!(opened.is_some(), "the streams cannot be opened");
    let open = link.connections(address.port());
    ensure!(open >= CONNECTIONS, "{open} of {CONNECTIONS} connections are open");
    link.set("down")?;
    let cut = Instant::now();
    let gone = until(PATIENCE, || link.connections(address.port()) == 0).await;
    let took = cut.elapsed();
    round.outcome.count("half-open connections", open);
    round.outcome.at_most("s until they were gone", took.as_secs_f64());
    if !gone || took > REAPED {
        round
            .blame(format!("half-open connections were to be gone within {REAPED:?}: {gone} after {took:?}"));
    }
    clients.kill().await?;
    Ok(())
}

/// What the process in the other network does: opens the streams, says so, and reads nothing of them until it is killed.
#[expect(clippy::print_stdout, reason = "this is how it says so")]
pub(crate) async fn be_silent(address: SocketAddr) -> Result<()> {
    let token = env::var(TOKEN)?;
    let mut streams = Vec::new();
    while streams.len() < CONNECTIONS {
        let mut some = JoinSet::new();
        for nth in 0..AT_ONCE {
            let native = if nth % 2 == 0 { Some(grpc(address)?) } else { None };
            let token = token.clone();
            some.spawn(async move {
                Subscription::open(address, native.as_ref(), &token, ResumePoint::default()).await
            });
        }
        while let Some(opened) = some.join_next().await {
            streams.push(opened??);
        }
    }
    println!("{} streams are open", streams.len());
    std::future::pending().await
}
