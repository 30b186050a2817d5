//! The cases, one file each: each starts what it measures, loads it, and returns lines of the table.
//!
//! Floors and goals stand beside the measurement they judge.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::{report::Row, server::Gateway};

mod deliver;
mod doors;
mod greedy;
mod harm;
mod idle;
mod names;
mod overhead;
mod slow;
mod start;
mod write;

/// Something to measure.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Case {
    /// The start on an existing database, and the memory of a gateway without work.
    Start,
    /// One room of a thousand streams.
    Deliver,
    /// Ten rooms that are written to.
    Write,
    /// Streams without work.
    Idle,
    /// What a health check costs.
    Overhead,
    /// Whether the time of a login tells that a name exists.
    Names,
    /// Whether somebody who chats notices greedy clients.
    Greedy,
    /// Whether one client can harm the others.
    Harm,
    /// Whether somebody who chats notices 500 log-ins at once.
    Doors,
    /// Whether those who read notice one who does not.
    Slow,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// One round of load.
    pub(crate) round: Duration,
    /// Rounds, of which the median counts.
    pub(crate) rounds: u32,
    /// Whether it is only to be seen that all works.
    pub(crate) quick: bool,
}

impl Scale {
    /// Returns how many logins of each kind tell whether their times differ.
    pub(crate) const fn logins(self) -> u32 {
        if self.quick { 100 } else { 2_000 }
    }

    /// Returns how many messages pass one who does not read.
    pub(crate) const fn messages(self) -> u64 {
        if self.quick { 3_000 } else { 50_001 }
    }
}

impl Case {
    /// All of them, the quickest first.
    pub(crate) const ALL: [Self; 10] = [
        Self::Start,
        Self::Deliver,
        Self::Write,
        Self::Idle,
        Self::Overhead,
        Self::Doors,
        Self::Slow,
        Self::Greedy,
        Self::Names,
        Self::Harm,
    ];

    /// Returns whether the outcome depends on the database.
    pub(crate) const fn writes(self) -> bool {
        !matches!(self, Self::Idle | Self::Overhead)
    }

    /// Measures.
    ///
    /// # Errors
    /// If a server does not start, or does not do what it should.
    pub(crate) async fn run(self, gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
        match self {
            Self::Start => start::run(gateway, scale),
            Self::Deliver => deliver::run(gateway, scale).await,
            Self::Write => write::run(gateway, scale).await,
            Self::Idle => idle::run(gateway).await,
            Self::Overhead => overhead::run(gateway).await,
            Self::Names => names::run(gateway, scale),
            Self::Doors => doors::run(gateway, scale).await,
            Self::Slow => slow::run(gateway, scale).await,
            Self::Harm => harm::run(gateway, scale).await,
            Self::Greedy => greedy::run(gateway, scale).await,
        }
    }
}
