//! Growth: what an operation costs against the number of users, members, rooms and messages.
//!
//! The database is filled by SQL while no gateway runs, since registering hashes a password and sending waits for a commit.
//! Each size has a gateway process of its own. A cost is the CPU time of the gateway and of its PostgreSQL, if the benchmark
//! started that. It depends less than a time on what else the machine does.

use std::time::Duration;

use anyhow::Result;
use grpcchatter_proto::v1::{SendMessageRequest, SendMessageResponse};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Results, Scale};
use crate::{
    curve::Curve,
    latencies::median,
    load::{grpc::Connection, stamp},
    process::{self, Process},
    server::Gateway,
};
use population::Population;

mod history;
mod members;
mod population;
mod rooms;
mod users;

/// The longest round of calls that follow each other without a pause.
const MAX_ROUND: Duration = Duration::from_secs(2);
/// The time between two messages: 200 a second.
const PACE: Duration = Duration::from_millis(5);
/// Calls before a measurement: connections to the database are opened, memberships are cached.
const WARM_UP: usize = 20;
/// The room whose members grow; the user with the same number owns it.
const ROOM_OF_MEMBERS: u32 = 1;

/// A gateway with a population that grows.
struct Setup<'g> {
    gateway: &'g Gateway,
    population: Population<'g>,
    postmaster: Option<u32>,
    scale: Scale,
}

/// A running gateway whose costs are measured.
struct Server {
    process: Process,
    postmaster: Option<u32>,
    scale: Scale,
}

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Results> {
    let population = Population::prepare(gateway).await?;
    let mut setup = Setup { gateway, population, postmaster: gateway.postmaster().await?, scale };
    // The users come first: members and rooms take theirs from them. History comes last, and adds users of its own.
    let mut curves = users::run(&mut setup).await?;
    curves.extend(members::run(&mut setup).await?);
    curves.extend(rooms::run(&setup).await?);
    let history = history::run(&mut setup).await?;
    curves.extend(history.judged);
    let mut rows: Vec<_> = curves.iter().flat_map(Curve::rows).collect();
    rows.extend(history.elsewhere.unnoticed_rows());
    curves.push(history.elsewhere);
    Ok(Results { rows, curves })
}

impl Setup<'_> {
    /// Starts the gateway on what it kept.
    async fn start(&self) -> Result<Server> {
        let process = self.gateway.start().await?;
        Ok(Server { process, postmaster: self.postmaster, scale: self.scale })
    }
}

impl Server {
    /// Returns the CPU time so far, in seconds.
    fn cpu(&self) -> Result<f64> {
        let database = self.postmaster.map_or(Ok(0.0), process::family_cpu)?;
        Ok(self.process.cpu()?.total() + database)
    }

    async fn connect(&self) -> Result<Connection> {
        Connection::open(self.process.address).await
    }

    /// Repeats a call, with its number, without a pause, and returns the CPU time of each, in µs.
    async fn cost(&self, mut call: impl AsyncFnMut(u64) -> Result<()>) -> Result<f64> {
        self.measure(self.scale.round.min(MAX_ROUND), None, &mut call).await
    }

    /// Repeats a call every [`PACE`], or once the one before it is answered, and returns the CPU time of each, in µs.
    async fn paced_cost(&self, mut call: impl AsyncFnMut(u64) -> Result<()>) -> Result<f64> {
        self.measure(self.scale.round, Some(PACE), &mut call).await
    }

    /// Returns the CPU time of a second in which nothing is called, in µs.
    async fn idle_cost(&self) -> Result<f64> {
        let (cpu, began, time) = (self.cpu()?, Instant::now(), self.scale.round * self.scale.rounds);
        sleep(time).await;
        Ok((self.cpu()? - cpu) * 1e6 / began.elapsed().as_secs_f64())
    }

    async fn measure(
        &self,
        round: Duration,
        pace: Option<Duration>,
        call: &mut impl AsyncFnMut(u64) -> Result<()>,
    ) -> Result<f64> {
        let mut numbers = 0..;
        for number in numbers.by_ref().take(WARM_UP) {
            call(number).await?;
        }
        let mut costs = Vec::new();
        for _ in 0..self.scale.rounds {
            let mut ticks = pace.map(interval);
            ticks.iter_mut().for_each(|ticks| ticks.set_missed_tick_behavior(MissedTickBehavior::Burst));
            let (cpu, end, mut calls) = (self.cpu()?, Instant::now() + round, 0);
            while Instant::now() < end {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                call(numbers.next().unwrap_or_default()).await?;
                calls += 1;
            }
            costs.push((self.cpu()? - cpu) * 1e6 / f64::from(calls));
        }
        Ok(median(costs))
    }
}

/// Sends a message in the room of the token.
async fn send(connection: &Connection, token: &str) -> Result<()> {
    let message = SendMessageRequest { body: stamp::body(stamp::now()), client_message_id: String::new() };
    let path = "/grpcchatter.v1.ChatService/SendMessage";
    connection.unary::<SendMessageResponse>(path, Some(token), &message).await?;
    Ok(())
}

/// Returns a number below `count`. Consecutive numbers are far apart, so that no cache of the database serves them.
fn scattered(nth: u64, count: u32) -> u32 {
    /// A prime that divides no size.
    const STRIDE: u64 = 7_919;
    u32::try_from(nth * STRIDE % u64::from(count)).unwrap_or(0)
}
