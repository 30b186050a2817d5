//! The cases, one file each: each starts what it measures, loads it, and returns lines of the table.
//!
//! Floors and goals stand beside the measurement they judge.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::{report::Row, server::Gateway};

mod deliver;
mod greedy;
mod idle;
mod names;
mod overhead;
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
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// One round of load.
    pub(crate) round: Duration,
    /// Rounds, of which the median counts.
    pub(crate) rounds: u32,
    /// Logins of each kind.
    pub(crate) logins: u32,
}

impl Case {
    /// All of them, the quickest first.
    pub(crate) const ALL: [Self; 7] =
        [Self::Start, Self::Deliver, Self::Write, Self::Idle, Self::Greedy, Self::Overhead, Self::Names];

    /// Returns whether the outcome depends on the database.
    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::Start | Self::Deliver | Self::Write)
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
            Self::Greedy => greedy::run(gateway, scale).await,
        }
    }
}
