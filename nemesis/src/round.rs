//! A round: a server with rooms, a load, faults one after the other, and at the end the checker.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_nemesis::{History, Violation, check, check_after_loss};

use crate::{
    bench::{Bench, Database},
    client::{self, Seat},
    load::{Crowd, Herd, Load},
    outcome::Outcome,
    postgres::Postgres,
    proxy::Proxy,
    record::{Record, until},
    server::{Plan, Server},
};

/// So many rooms are talked in.
const ROOMS: usize = 2;

/// How long anything else is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// Recovery is watched for so many times its limit, so that the table can say how long it took.
const WATCHED: u32 = 4;

/// What an answer may take longer than the promise says, for the clients' own part of it: they share the cores with the
/// server and the database, and an answer waits for its turn to be read.
const SLACK: Duration = Duration::from_millis(500);

/// What a fault may cost, at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the moment at which it has healed until everybody goes on.
    pub(crate) recovery: Duration,
    /// For the answer to a send, or its error, meanwhile; none where the server itself is away.
    pub(crate) answer: Option<Duration>,
    /// From a start of the server until it answers.
    pub(crate) ready: Duration,
    /// What its log still has in the end.
    pub(crate) log: Kept,
}

/// What a log still has in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Everything from its first message on.
    All,
    /// Everything from some message on.
    Newest,
    /// Not all that was acknowledged: something is to be lost.
    NotWhatWasLost,
}

/// The field on which a round is played.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) server: Server,
    pub(crate) postgres: Option<Postgres>,
    /// Between the server and its database.
    pub(crate) database: Option<Proxy>,
    /// Between the clients and the server.
    pub(crate) front: Proxy,
    /// The same, for those who only listen.
    pub(crate) ears: Proxy,
    /// Those who go away and come back together.
    pub(crate) herd: Herd,
    pub(crate) seats: Vec<Seat>,
    pub(crate) record: Arc<Record>,
    /// What is to be told of the round.
    pub(crate) outcome: Outcome,
    limits: Limits,
    load: Load,
}

impl Round {
    /// Starts the server on a new database, and everybody who talks and listens.
    pub(crate) async fn start(
        bench: &Bench,
        plan: Plan,
        database: Database,
        crowd: Crowd,
        limits: Limits,
    ) -> Result<Self> {
        let (plan, postgres, proxy) = prepare(bench, plan, database).await?;
        let server = Server::start(plan).await?;
        let front = Proxy::start(server.address()).await?;
        let ears = Proxy::start(server.address()).await?;
        let seats = client::enter(server.address(), ROOMS).await?;
        let record = Arc::new(Record::new());
        let load = Load::start((front.address(), ears.address()), &seats, crowd, &record)?;
        let herd = Herd::start(server.address(), &seats, crowd, &record)?;
        let mut round = Self {
            server,
            postgres,
            database: proxy,
            front,
            ears,
            herd,
            seats,
            record,
            outcome: Outcome::default(),
            limits,
            load,
        };
        round.healed().await?;
        round.outcome = Outcome::default();
        Ok(round)
    }

    /// Starts the server again on what it kept.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        let started = Instant::now();
        self.server.again().await?;
        self.outcome.at_most("s until it was ready again", started.elapsed().as_secs_f64());
        let limit = self.limits.ready;
        self.must_not_exceed("the server was to be ready", started.elapsed(), limit);
        Ok(())
    }

    /// Returns once something that is said from now on is acknowledged in every room, and every reader has it.
    pub(crate) async fn healed(&mut self) -> Result<()> {
        self.healed_in(&(0..self.seats.len()).collect::<Vec<_>>()).await
    }

    /// The same, for some of the rooms.
    pub(crate) async fn healed_in(&mut self, rooms: &[usize]) -> Result<()> {
        let healed = Instant::now();
        let record = Arc::clone(&self.record);
        let floor: Vec<i64> = rooms.iter().map(|room| record.newest(*room)).collect();
        let mut goals = BTreeMap::new();
        let went_on = until(WATCHED * self.limits.recovery, || {
            for (room, floor) in rooms.iter().zip(&floor) {
                let newest = record.newest(*room);
                if newest > *floor {
                    goals.entry(*room).or_insert(newest);
                }
            }
            goals.len() == rooms.len() && record.behind(&goals) == 0
        });
        let went_on = went_on.await;
        self.server.must_run()?;
        let (took, limit) = (healed.elapsed(), self.limits.recovery);
        self.outcome.recovery = self.outcome.recovery.max(took);
        if went_on {
            self.must_not_exceed("everybody was to go on", took, limit);
        } else {
            self.blame(format!("everybody was to go on within {limit:?}, and after {took:?} did not"));
        }
        Ok(())
    }

    /// Returns once somebody was refused for this reason since it was asked.
    pub(crate) async fn refused(&self, reason: &str) -> Result<()> {
        let count = || self.record.refusals().get(reason).copied().unwrap_or(0);
        let before = count();
        let more = until(PATIENCE, || count() > before).await;
        ensure!(
            more,
            "nobody was refused because of {reason}, but of {:?}: {}",
            self.record.refusals(),
            self.server.last_words()
        );
        Ok(())
    }

    /// Returns once so many more messages are acknowledged in every room.
    pub(crate) async fn said(&self, more: i64) -> Result<()> {
        let goals: Vec<i64> = self.seats.iter().map(|seat| self.record.newest(seat.room) + more).collect();
        let said =
            || self.seats.iter().zip(&goals).all(|(seat, goal)| self.record.newest(seat.room) >= *goal);
        // Hundreds of messages a second are said in each room, and tens of thousands are asked for at most.
        ensure!(until(6 * PATIENCE, said).await, "not enough is said: {}", self.server.last_words());
        Ok(())
    }

    /// Notes a broken promise.
    pub(crate) fn blame(&mut self, what: String) {
        self.outcome.violations.push(what);
    }

    fn must_not_exceed(&mut self, what: &str, took: Duration, limit: Duration) {
        if took > limit {
            self.blame(format!("{what} within {limit:?}, and took {:.2} s", took.as_secs_f64()));
        }
    }

    /// Reads the log of the first room.
    pub(crate) async fn read(&self) -> Result<usize> {
        let seat = self.seats.first().context("no room")?;
        Ok(client::log(self.server.address(), seat).await?.1.len())
    }

    /// Ends the load, awaits that everybody has seen everything, reads the logs and checks what happened.
    pub(crate) async fn judge(mut self, patience: Duration) -> Result<Outcome> {
        self.load.finish(patience).await;
        let (mut logs, mut firsts) = (Vec::new(), Vec::new());
        for seat in &self.seats {
            let log = client::log(self.server.address(), seat).await;
            let (first, log) = log.context("the log cannot be read")?;
            logs.push(log);
            firsts.push(first);
        }
        if self.limits.log != Kept::Newest {
            firsts.clear();
        } else {
            let removed: i64 = firsts.iter().map(|first| first - 1).sum();
            self.outcome.count("messages were removed", usize::try_from(removed)?);
        }
        let end = |log: &Vec<_>| log.last().map_or(0, |entry: &grpcchatter_nemesis::Entry| entry.seq);
        let ends: BTreeMap<usize, i64> = logs.iter().map(end).enumerate().collect();
        if !until(patience.min(self.limits.recovery), || self.record.behind(&ends) == 0).await {
            let behind = self.record.behind(&ends);
            self.blame(format!("I7: {behind} readers have not seen the newest messages"));
        }
        let events = self.record.take();
        self.load.end().await;
        let slowest = self.record.slowest();
        if let Some(limit) = self.limits.answer {
            self.must_not_exceed("a send was to be answered", slowest, limit + SLACK);
        }
        let mut outcome = self.outcome;
        outcome.slowest = slowest;
        outcome.refusals = self.record.refusals();
        outcome.messages = logs.iter().map(Vec::len).sum();
        outcome.violations.extend(self.herd.complaints(&logs));
        let history = History { events, logs, firsts };
        let violations = if self.limits.log == Kept::NotWhatWasLost {
            let after = check_after_loss(&history);
            if after.lost == 0 {
                outcome.violations.push("nothing was lost, or it was not noticed".to_owned());
            }
            outcome.count("acknowledged messages were lost", after.lost);
            outcome.count("times readers were told", after.told);
            after.violations
        } else {
            check(&history)
        };
        outcome.violations.extend(violations.iter().map(Violation::to_string));
        Ok(outcome)
    }
}

/// Starts a database where one is asked for, with a proxy before it, and returns the plan that names it.
async fn prepare(
    bench: &Bench,
    mut plan: Plan,
    database: Database,
) -> Result<(Plan, Option<Postgres>, Option<Proxy>)> {
    if database == Database::Sqlite {
        return Ok((plan, None, None));
    }
    let postgres = Postgres::start(bench.template().await?).await?;
    postgres.create_database("nemesis").await?;
    let proxy = Proxy::start(postgres.address()).await?;
    plan.database_url = Some(Postgres::url("nemesis", proxy.address()));
    Ok((plan, Some(postgres), Some(proxy)))
}
