//! The cases, one file each: a case starts a server, loads it, and returns rows of the table.
//!
//! The floors and goals are beside the measurements that they judge.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::{curve::Curve, report::Row, server::Gateway};

mod abusive_clients;
mod deliver;
mod growth;
mod harm;
mod idle;
mod overhead;
mod slow;
mod start;
mod user_enumeration;
mod write;

/// A case, by its name on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Case {
    /// The start on an existing database, and the memory of an idle gateway.
    Start,
    /// The cost of a delivery, in a room of a thousand streams.
    Deliver,
    /// The throughput and latency of messages in ten rooms.
    Write,
    /// The memory of idle streams.
    Idle,
    /// The instructions of a health check and of `GET /livez`.
    Overhead,
    /// Delays and memory in a room where one subscriber of ten reads nothing.
    Slow,
    /// Delays of Chat beside clients that hold connections, trickle bytes, or reset streams.
    AbusiveClients,
    /// Whether the time of a failed login shows that the user name exists.
    UserEnumeration,
    /// Delays and memory under the known attacks of one client.
    Harm,
    /// Costs against the number of users, members, rooms and messages.
    Growth,
}

/// What a case has measured.
#[derive(Debug)]
pub(crate) struct Results {
    /// The rows of the table.
    pub(crate) rows: Vec<Row>,
    /// The curves to plot.
    pub(crate) curves: Vec<Curve>,
}

impl From<Vec<Row>> for Results {
    fn from(rows: Vec<Row>) -> Self {
        Self { rows, curves: Vec::new() }
    }
}

/// The length of the measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The duration of a round of load.
    pub(crate) round: Duration,
    /// The number of rounds; their median is reported.
    pub(crate) rounds: u32,
    /// Whether the run only checks that the benchmark works.
    pub(crate) quick: bool,
}

impl Scale {
    /// Returns the number of logins of each kind in [`Case::UserEnumeration`].
    pub(crate) const fn logins(self) -> u32 {
        if self.quick { 100 } else { 2_000 }
    }

    /// Returns the number of messages that the slow subscriber does not read.
    pub(crate) const fn messages(self) -> u64 {
        if self.quick { 3_000 } else { 50_001 }
    }

    /// Returns the sizes of a curve: all but those above 1,000 where the run only checks that the benchmark works.
    pub(crate) fn sizes(self, all: &[u32]) -> impl Iterator<Item = u32> {
        all.iter().copied().filter(move |size| !self.quick || *size <= 1_000)
    }
}

impl Case {
    /// All cases, in their order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Start,
        Self::Deliver,
        Self::Write,
        Self::Idle,
        Self::Overhead,
        Self::Slow,
        Self::AbusiveClients,
        Self::UserEnumeration,
        Self::Harm,
        Self::Growth,
    ];

    /// Returns whether it runs where no case is named.
    pub(crate) const fn runs_by_default(self) -> bool {
        !matches!(self, Self::Growth)
    }

    /// Returns whether the figures depend on the database.
    pub(crate) const fn depends_on_database(self) -> bool {
        !matches!(self, Self::Idle | Self::Overhead)
    }

    /// Runs the case.
    ///
    /// # Errors
    /// If a server does not start, or answers incorrectly.
    pub(crate) async fn run(self, gateway: &Gateway, scale: Scale) -> Result<Results> {
        let rows = match self {
            Self::Growth => return growth::run(gateway, scale).await,
            Self::Start => start::run(gateway, scale).await,
            Self::Deliver => deliver::run(gateway, scale).await,
            Self::Write => write::run(gateway, scale).await,
            Self::Idle => idle::run(gateway).await,
            Self::Overhead => overhead::run(gateway).await,
            Self::Slow => slow::run(gateway, scale).await,
            Self::AbusiveClients => abusive_clients::run(gateway, scale).await,
            Self::UserEnumeration => user_enumeration::run(gateway, scale).await,
            Self::Harm => harm::run(gateway, scale).await,
        };
        rows.map(Results::from)
    }
}
