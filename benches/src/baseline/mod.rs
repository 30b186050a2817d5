//! The baselines: plain tonic and axum servers that are measured beside the gateway, each as a child process of this program.

use std::{
    env,
    io::{self, Write as _},
    net::SocketAddr,
};

use anyhow::Result;
use axum::{Router, routing::get};
use clap::ValueEnum;
use grpcchatter_testbed::command_under;
use tokio::{net::TcpListener, process::Command};
use tonic::transport::{Server, server::TcpIncoming};

use crate::process::Process;

mod broadcast;

/// A plain server without the gateway's features.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Baseline {
    /// tonic with a broadcast channel: one room, no tokens, no storage.
    Broadcast,
    /// tonic with only the health service.
    Unary,
    /// axum with one route.
    Axum,
}

impl Baseline {
    /// Starts the server as a child process.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start(self) -> Result<Process> {
        Process::start(self.command(&[])?).await
    }

    /// Returns the command that starts the server, wrapped in `tool` unless that is empty.
    ///
    /// # Errors
    /// If the path of this program is unknown.
    pub(crate) fn command(self, tool: &[&str]) -> Result<Command> {
        let mut command = command_under(tool, &env::current_exe()?);
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        command.arg("--baseline").args(name);
        Ok(command)
    }

    /// Serves until the process is killed, on the multi-threaded runtime that both frameworks advise.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(crate) fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
            writeln!(io::stdout(), "open http://{}", listener.local_addr()?)?;
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
        chat_sender::ChatSender,
        flood::{Flood, Request, by_turns},
        grpc::Connection,
        subscribers::Subscribers,
    };

    #[tokio::test]
    async fn the_load_client_counts_every_delivery_and_every_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(Baseline::Broadcast.serve(listener));
        LocalSet::new()
            .run_until(async {
                let mut subscribers =
                    Subscribers::open(address, &["a token ".repeat(40).trim()], 3, 50, 1).await.unwrap();
                let connection = Connection::open(address).await.unwrap();
                let mut sender = ChatSender::open(&connection, "").await.unwrap();
                for _ in 0..20 {
                    sender.send(40).unwrap();
                    sender.wait_for_unanswered(0).await.unwrap();
                }
                subscribers.wait_beyond(799).await.unwrap();
                assert_eq!(
                    (subscribers.complete(), subscribers.deliveries(), sender.answered()),
                    (800, 800 * 150, 800)
                );
                assert!(subscribers.take_latencies().quantile(0.5) > 0.0);
            })
            .await;
        server.abort();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_flood_counts_answered_and_refused_calls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(Baseline::Broadcast.serve(listener));
        let message = ChatRequest { body: "hello".into(), client_message_id: String::new() };
        // The first method exists and answers with a message; the second does not exist.
        let calls = ["Chat", "Nothing"].map(|name| Request::call(address, name, "a token", &message));
        let next = by_turns(calls.to_vec()).unwrap();
        let flood = Flood { enough: 500, ..Flood::new(2, 8, next) };
        let run = tokio::task::spawn_blocking(move || flood.run(address, Duration::from_secs(60)));
        let tally = run.await.unwrap().unwrap();
        assert!(tally.answered >= 500, "{tally:?}");
        // The calls alternate; only those under way at the end may be missing.
        assert!(tally.refused.abs_diff(tally.answered) <= 2 * 8, "{tally:?}");
        server.abort();
    }
}
