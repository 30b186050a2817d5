//! A round: a server with rooms, a load, faults one after the other, and the checker at the end.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_nemesis::{Entry, History, Violation, check, check_after_loss};
use grpcchatter_testbed::{Postgres, Proxy};

use crate::{
    client::{self, Member},
    load::{ClientMix, Load, MassSubscribers},
    outcome::Outcome,
    record::{Record, wait_until},
    server::{Plan, Server},
    setup::{Database, Setup},
};

/// The number of rooms.
const ROOMS: usize = 2;

/// The database of a round on PostgreSQL.
pub(crate) const DATABASE: &str = "nemesis";

/// The longest wait for anything without a limit of its own.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(100);

/// A round waits this many times its recovery limit, so that the table can show how long a late recovery took.
const RECOVERY_WAIT: u32 = 4;

/// Added to the limit of an answer for the clients' own work: they share the cores with the server and the database.
const CLIENT_SLACK: Duration = Duration::from_millis(500);

/// The limits that hold while a fault lasts and after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From healing until all clients are served again.
    pub(crate) recovery: Duration,
    /// From a send to its answer or its error; none where the server itself is down.
    pub(crate) answer: Option<Duration>,
    /// From a start of the server until it answers.
    pub(crate) ready: Duration,
    /// The messages that the log must have at the end.
    pub(crate) log: ExpectedLog,
}

/// The messages that the log must have at the end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedLog {
    /// All of them.
    Complete,
    /// All from some message on: retention has removed the older ones.
    Suffix,
    /// Not all that were acknowledged: the fault must lose some.
    Lossy,
}

/// A round under way.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) server: Server,
    pub(crate) postgres: Option<Postgres>,
    /// Between the server and its database.
    pub(crate) database_proxy: Option<Proxy>,
    /// Between the senders and the server.
    pub(crate) writer_proxy: Proxy,
    /// Between the subscribers and the server.
    pub(crate) reader_proxy: Proxy,
    pub(crate) mass_subscribers: MassSubscribers,
    pub(crate) members: Vec<Member>,
    pub(crate) record: Arc<Record>,
    pub(crate) outcome: Outcome,
    limits: Limits,
    load: Load,
}

impl Round {
    /// Starts the server on a new database, and all clients; returns once all of them are served.
    pub(crate) async fn start(
        setup: &Setup,
        plan: Plan,
        database: Database,
        mix: ClientMix,
        limits: Limits,
    ) -> Result<Self> {
        let (plan, postgres, database_proxy) = prepare(setup, plan, database).await?;
        let server = Server::start(plan).await?;
        let writer_proxy = Proxy::start(server.address()).await?;
        let reader_proxy = Proxy::start(server.address()).await?;
        let members = client::create_rooms(server.address(), ROOMS).await?;
        let record = Arc::new(Record::new());
        let load = Load::start((writer_proxy.address(), reader_proxy.address()), &members, mix, &record)?;
        let mass_subscribers = MassSubscribers::start(server.address(), &members, mix, &record)?;
        let mut round = Self {
            server,
            postgres,
            database_proxy,
            writer_proxy,
            reader_proxy,
            mass_subscribers,
            members,
            record,
            outcome: Outcome::default(),
            limits,
            load,
        };
        round.wait_for_recovery().await?;
        round.outcome = Outcome::default();
        Ok(round)
    }

    /// Starts the server again on its data.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        let started = Instant::now();
        self.server.start_again().await?;
        self.outcome.maximum("s until it was ready again", started.elapsed().as_secs_f64());
        let limit = self.limits.ready;
        self.must_not_exceed("the server was to be ready", started.elapsed(), limit);
        Ok(())
    }

    /// Waits until, in every room, a message sent from now on was acknowledged and every reader has it.
    pub(crate) async fn wait_for_recovery(&mut self) -> Result<()> {
        self.wait_for_recovery_in(&(0..self.members.len()).collect::<Vec<_>>()).await
    }

    /// As [`Self::wait_for_recovery`], for some of the rooms.
    pub(crate) async fn wait_for_recovery_in(&mut self, rooms: &[usize]) -> Result<()> {
        let healed = Instant::now();
        let record = Arc::clone(&self.record);
        let floor: Vec<i64> = rooms.iter().map(|room| record.newest_acknowledged(*room)).collect();
        let mut goals = BTreeMap::new();
        let recovered = wait_until(RECOVERY_WAIT * self.limits.recovery, || {
            for (room, floor) in rooms.iter().zip(&floor) {
                let newest = record.newest_acknowledged(*room);
                if newest > *floor {
                    goals.entry(*room).or_insert(newest);
                }
            }
            goals.len() == rooms.len() && record.readers_behind(&goals) == 0
        });
        let recovered = recovered.await;
        self.server.ensure_running()?;
        let (took, limit) = (healed.elapsed(), self.limits.recovery);
        self.outcome.recovery = self.outcome.recovery.max(took);
        if recovered {
            self.must_not_exceed("all clients were to be served again", took, limit);
        } else {
            self.violated(format!(
                "all clients were to be served again within {limit:?}, and after {took:?} were not"
            ));
        }
        Ok(())
    }

    /// Waits until a client is refused for this reason.
    pub(crate) async fn wait_for_refusal(&self, reason: &str) -> Result<()> {
        let count = || self.record.refusals().get(reason).copied().unwrap_or(0);
        let before = count();
        let more = wait_until(WAIT_TIMEOUT, || count() > before).await;
        ensure!(
            more,
            "no client was refused with {reason}; the refusals are {:?}: {}",
            self.record.refusals(),
            self.server.log_tail()
        );
        Ok(())
    }

    /// Waits until `more` messages are acknowledged in every room.
    pub(crate) async fn wait_for_messages(&self, more: i64) -> Result<()> {
        let newest = |member: &Member| self.record.newest_acknowledged(member.room);
        let goals: Vec<i64> = self.members.iter().map(|member| newest(member) + more).collect();
        let reached = || self.members.iter().zip(&goals).all(|(member, goal)| newest(member) >= *goal);
        // The load sends hundreds of messages a second to each room; the largest `more` is tens of thousands.
        let in_time = wait_until(6 * WAIT_TIMEOUT, reached).await;
        ensure!(in_time, "too few messages were acknowledged: {}", self.server.log_tail());
        Ok(())
    }

    /// Records a violation.
    pub(crate) fn violated(&mut self, what: String) {
        self.outcome.violations.push(what);
    }

    fn must_not_exceed(&mut self, what: &str, took: Duration, limit: Duration) {
        if took > limit {
            self.violated(format!("{what} within {limit:?}, and took {:.2} s", took.as_secs_f64()));
        }
    }

    /// Reads the log of the first room, and returns its length.
    pub(crate) async fn read_log(&self) -> Result<usize> {
        let member = self.members.first().context("no room")?;
        Ok(client::read_log(self.server.address(), member).await?.1.len())
    }

    /// Ends the load, waits until every reader has the newest message, reads the logs, and checks the history. The wait for
    /// the last answers and the one for the readers take at most `limit` each.
    pub(crate) async fn finish(mut self, limit: Duration) -> Result<Outcome> {
        self.load.finish_sending(limit).await;
        let (logs, firsts) = self.read_logs().await?;
        let end = |log: &Vec<Entry>| log.last().map_or(0, |entry| entry.seq);
        let ends: BTreeMap<usize, i64> = logs.iter().map(end).enumerate().collect();
        if !wait_until(limit.min(self.limits.recovery), || self.record.readers_behind(&ends) == 0).await {
            let behind = self.record.readers_behind(&ends);
            self.violated(format!("I7: {behind} readers have not seen the newest messages"));
        }
        let events = self.record.take_events();
        self.load.end().await;
        let slowest = self.record.slowest_send();
        if let Some(limit) = self.limits.answer {
            self.must_not_exceed("a send was to be answered", slowest, limit + CLIENT_SLACK);
        }
        let mut outcome = self.outcome;
        outcome.slowest = slowest;
        outcome.refusals = self.record.refusals();
        outcome.messages = logs.iter().map(Vec::len).sum();
        outcome.violations.extend(self.mass_subscribers.violations(&logs));
        check_history(&History { events, logs, firsts }, self.limits.log, &mut outcome);
        Ok(outcome)
    }

    /// Returns each room's log and its first seq; the first seqs are left out unless retention is on.
    async fn read_logs(&mut self) -> Result<(Vec<Vec<Entry>>, Vec<i64>)> {
        let (mut logs, mut firsts) = (Vec::new(), Vec::new());
        for member in &self.members {
            let log = client::read_log(self.server.address(), member).await;
            let (first, log) = log.context("the log cannot be read")?;
            logs.push(log);
            firsts.push(first);
        }
        if self.limits.log != ExpectedLog::Suffix {
            firsts.clear();
        } else {
            let removed: i64 = firsts.iter().map(|first| first - 1).sum();
            self.outcome.count("messages were removed", usize::try_from(removed)?);
        }
        Ok((logs, firsts))
    }
}

/// Adds the checker's violations to the outcome.
fn check_history(history: &History, expected: ExpectedLog, outcome: &mut Outcome) {
    let violations = if expected == ExpectedLog::Lossy {
        let after = check_after_loss(history);
        if after.lost == 0 {
            outcome.violations.push("no message was lost, or the loss was not noticed".to_owned());
        }
        outcome.count("acknowledged messages were lost", after.lost);
        outcome.count("resets reached readers", after.resets);
        after.violations
    } else {
        check(history)
    };
    outcome.violations.extend(violations.iter().map(Violation::to_string));
}

/// Starts PostgreSQL with a proxy in front of it, where the round runs on it, and returns the plan that names the proxy.
async fn prepare(
    setup: &Setup,
    mut plan: Plan,
    database: Database,
) -> Result<(Plan, Option<Postgres>, Option<Proxy>)> {
    if database == Database::Sqlite {
        return Ok((plan, None, None));
    }
    let postgres = Postgres::serve(setup.template().await?.copy().await?, &[]).await?;
    postgres.create_database(DATABASE).await?;
    let proxy = Proxy::start(postgres.address()).await?;
    plan.database_url = Some(Postgres::url_at(proxy.address(), DATABASE));
    Ok((plan, Some(postgres), Some(proxy)))
}
