//! The plain servers that the gateway is measured beside, each run as a child of this same program.

use std::{
    env,
    io::{self, Write as _},
    net::SocketAddr,
    process::Command,
};

use anyhow::Result;
use axum::{Router, routing::get};
use clap::ValueEnum;
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};

use crate::process::{self, Process};

mod broadcast;

/// A plain server.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Peer {
    /// tonic with a broadcast channel: no tokens, nothing stored, one room.
    Broadcast,
    /// tonic with the health service alone.
    Unary,
    /// axum with one route.
    Axum,
}

impl Peer {
    /// Starts this peer as a child process.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start(self) -> Result<Process> {
        Process::start(&mut self.command(&[])?)
    }

    /// Returns the command that starts this peer, under a tool where one is named.
    ///
    /// # Errors
    /// If the path of this program is not known.
    pub(crate) fn command(self, tool: &[&str]) -> Result<Command> {
        let mut command = process::under(tool, &env::current_exe()?);
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        command.arg("--peer").args(name);
        Ok(command)
    }

    /// Serves until it is killed, on the multi-threaded runtime that both frameworks advise.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(crate) fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
            writeln!(io::stdout(), "http://{}", listener.local_addr()?)?;
            self.serve(listener).await
        })
    }

    async fn serve(self, listener: TcpListener) -> Result<()> {
        let mut server = Server::builder();
        let incoming = |listener| TcpIncoming::from(listener).with_nodelay(Some(true));
        match self {
            Self::Broadcast => {
                server.add_service(broadcast::service()).serve_with_incoming(incoming(listener)).await?;
            }
            Self::Unary => {
                let (_reporter, service) = tonic_health::server::health_reporter();
                server.add_service(service).serve_with_incoming(incoming(listener)).await?;
            }
            Self::Axum => {
                let routes = Router::new().route("/livez", get(async || "ok"));
                axum::serve(listener, routes).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use grpcchatter_proto::v1::ChatRequest;
    use tokio::task::LocalSet;

    use super::*;
    use crate::load::{
        flood::{Flood, Request, by_turns},
        grpc::Connection,
        swarm::Swarm,
        talker::Talker,
    };

    #[tokio::test]
    async fn the_load_client_counts_every_delivery_and_every_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(Peer::Broadcast.serve(listener));
        LocalSet::new()
            .run_until(async {
                let mut swarm = Swarm::open(address, "a token ".repeat(40).trim(), 3, 50, 1).await.unwrap();
                let connection = Connection::open(address).await.unwrap();
                let mut talker = Talker::open(&connection, "").await.unwrap();
                for _ in 0..20 {
                    talker.send(40).unwrap();
                    talker.until_waiting(0).await.unwrap();
                }
                swarm.beyond(799).await.unwrap();
                assert_eq!((swarm.complete(), swarm.deliveries(), talker.answered()), (800, 800 * 150, 800));
                assert!(swarm.take_latencies().at(0.5) > 0.0);
            })
            .await;
        server.abort();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_flood_tells_what_is_answered_from_what_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(Peer::Broadcast.serve(listener));
        let said = ChatRequest { body: "hello".into(), client_message_id: String::new() };
        // One method is there and answers with a message, the other is not.
        let calls = ["Chat", "Nothing"].map(|name| Request::call(address, name, "a token", &said));
        let next = by_turns(calls.to_vec()).unwrap();
        let flood = Flood { enough: 500, ..Flood::new(2, 8, next) };
        let run = tokio::task::spawn_blocking(move || flood.run(address, Duration::from_secs(60)));
        let tally = run.await.unwrap().unwrap();
        assert!(tally.answered >= 500, "{tally:?}");
        // They take turns, and at most those that were under way at the end are missing.
        assert!(tally.refused.abs_diff(tally.answered) <= 2 * 8, "{tally:?}");
        server.abort();
    }
}
