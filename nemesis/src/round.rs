//! A round: a server with rooms, a load, faults one after the other, and at the end the checker.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_nemesis::{History, Violation, check};
use tokio::time::timeout;

use crate::{
    client::{self, Seat},
    faults::Fault,
    load::{Crowd, Load},
    postgres::Postgres,
    proxy::Proxy,
    record::{Progress, Record},
    server::{Plan, Server},
};

/// So many rooms are talked in.
const ROOMS: usize = 2;

/// How long after a fault has healed everybody may take to go on: what the promise says.
const RECOVERY: Duration = Duration::from_secs(5);

/// How long recovery is watched, so that the table can say how long it took.
const PATIENCE: Duration = Duration::from_secs(30);

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
    pub(crate) seats: Vec<Seat>,
    record: Arc<Record>,
    load: Load,
    late: Vec<String>,
    traced: usize,
    pub(crate) worst: Duration,
}

/// Where a round keeps its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// What came of a round, or of several.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) worst: Duration,
    pub(crate) acknowledged: usize,
    /// How many messages a trace saw on their way.
    pub(crate) traced: usize,
    pub(crate) refusals: BTreeMap<String, usize>,
}

impl Outcome {
    /// Adds what came of another round.
    pub(crate) fn add(&mut self, other: Self) {
        self.violations.extend(other.violations);
        self.worst = self.worst.max(other.worst);
        self.acknowledged += other.acknowledged;
        self.traced += other.traced;
        for (reason, count) in other.refusals {
            *self.refusals.entry(reason).or_insert(0) += count;
        }
    }

    /// Returns what there is to say besides the table's row: the first violations, and what was refused meanwhile.
    pub(crate) fn explain(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.violations.iter().take(10).cloned().collect();
        if self.traced > 0 {
            lines.push(format!("{} messages were told after their fdatasync", self.traced));
        }
        if !self.violations.is_empty() {
            lines.extend(self.refusals.iter().map(|(reason, count)| format!("{count} × {reason}")));
        }
        lines
    }

    /// Returns its row of the table.
    pub(crate) fn row(&self, fault: Fault, database: Database, trials: usize) -> Vec<String> {
        vec![
            format!("{fault:?}"),
            format!("{database:?}"),
            trials.to_string(),
            self.acknowledged.to_string(),
            self.violations.len().to_string(),
            format!("{:.2} s", self.worst.as_secs_f64()),
        ]
    }
}

impl Round {
    /// Starts the server on a new database, and everybody who talks and listens.
    pub(crate) async fn start(plan: Plan, database: Database, crowd: Crowd) -> Result<Self> {
        let (plan, postgres, proxy) = prepare(plan, database).await?;
        let server = Server::start(plan).await?;
        Self::with(server, postgres, proxy, crowd).await
    }

    /// Starts everybody who talks and listens on a server that runs.
    pub(crate) async fn with(
        server: Server,
        postgres: Option<Postgres>,
        database: Option<Proxy>,
        crowd: Crowd,
    ) -> Result<Self> {
        let front = Proxy::start(server.address()).await?;
        let ears = Proxy::start(server.address()).await?;
        let seats = client::enter(server.address(), ROOMS).await?;
        let record = Arc::new(Record::new());
        let load = Load::start((front.address(), ears.address()), &seats, crowd, &record)?;
        let (late, traced, worst) = (Vec::new(), 0, Duration::ZERO);
        let mut round =
            Self { server, postgres, database, front, ears, seats, record, load, late, traced, worst };
        round.healed().await?;
        (round.late, round.worst) = (Vec::new(), Duration::ZERO);
        Ok(round)
    }

    /// Returns once something that is said from now on is acknowledged in every room, and every reader has it.
    pub(crate) async fn healed(&mut self) -> Result<()> {
        self.healed_in(&(0..self.seats.len()).collect::<Vec<_>>()).await
    }

    /// The same, for some of the rooms.
    pub(crate) async fn healed_in(&mut self, rooms: &[usize]) -> Result<()> {
        let healed = Instant::now();
        let mut progress = self.record.progress();
        let floor = progress.borrow().acknowledged.clone();
        let mut goals = BTreeMap::new();
        let goes_on = |progress: &Progress| {
            for room in rooms {
                let newest = progress.acknowledged.get(room).copied().unwrap_or(0);
                if newest > floor.get(room).copied().unwrap_or(0) {
                    goals.entry(*room).or_insert(newest);
                }
            }
            let has_read = |(room, seq): &(usize, i64)| {
                !rooms.contains(room) || goals.get(room).is_some_and(|goal| seq >= goal)
            };
            goals.len() == rooms.len() && progress.readers.values().all(has_read)
        };
        let waited = timeout(PATIENCE, progress.wait_for(goes_on)).await.is_ok();
        self.server.must_run()?;
        self.worst = self.worst.max(healed.elapsed());
        if healed.elapsed() > RECOVERY {
            let what = if waited { "later" } else { "not at all" };
            let seconds = healed.elapsed().as_secs_f64();
            self.late.push(format!("everybody was to go on within 5 s, and did so {what} ({seconds:.1} s)"));
        }
        Ok(())
    }

    /// Returns once somebody was refused for this reason since it was asked.
    pub(crate) async fn refused(&self, reason: &str) -> Result<()> {
        let count = |progress: &Progress| -> usize {
            let refusals = progress.refusals.iter().filter(|(told, _)| told.contains(reason));
            refusals.map(|(_, count)| count).sum()
        };
        let mut progress = self.record.progress();
        let before = count(&progress.borrow());
        let more = timeout(PATIENCE, progress.wait_for(|progress| count(progress) > before)).await.is_ok();
        let told = progress.borrow().refusals.clone();
        ensure!(
            more,
            "nobody was refused because of {reason:?}, but of {told:?}: {}",
            self.server.last_words()
        );
        Ok(())
    }

    /// Returns how many messages were acknowledged in all rooms so far.
    pub(crate) fn acknowledged(&self) -> i64 {
        self.record.progress().borrow().acknowledged.values().sum()
    }

    /// Notes what a trace has shown: how many messages were told, and those told too early.
    pub(crate) fn traced(&mut self, told: usize, early: &[String]) {
        self.traced += told;
        self.late.extend(early.iter().map(|id| format!("{id} was told before its fdatasync had ended")));
    }

    /// Reads the log of the first room.
    pub(crate) async fn read(&self) -> Result<usize> {
        let seat = self.seats.first().context("no room")?;
        Ok(client::log(self.server.address(), seat).await?.len())
    }

    /// Ends the load, awaits that everybody has seen everything, reads the logs and checks what happened.
    pub(crate) async fn judge(mut self, patience: Duration) -> Result<Outcome> {
        self.load.finish(patience).await;
        let mut logs = Vec::new();
        for seat in &self.seats {
            logs.push(client::log(self.server.address(), seat).await.context("the log cannot be read")?);
        }
        let ends: Vec<i64> = logs.iter().map(|log| log.last().map_or(0, |entry| entry.seq)).collect();
        let mut progress = self.record.progress();
        let seen = progress.wait_for(|progress| {
            progress.readers.values().all(|(room, seq)| ends.get(*room).is_some_and(|end| seq >= end))
        });
        // Who has not seen everything by then, the checker reports.
        drop(timeout(RECOVERY.min(patience), seen).await);
        let events = self.record.take();
        let refusals = progress.borrow().refusals.clone();
        self.load.end().await;
        let acknowledged = logs.iter().map(Vec::len).sum();
        let found = check(&History { events, logs });
        let traced = self.traced;
        let violations = self.late.into_iter().chain(found.iter().map(Violation::to_string)).collect();
        Ok(Outcome { violations, worst: self.worst, acknowledged, traced, refusals })
    }
}

/// Starts a database where one is asked for, with a proxy before it, and returns the plan that names it.
pub(crate) async fn prepare(
    mut plan: Plan,
    database: Database,
) -> Result<(Plan, Option<Postgres>, Option<Proxy>)> {
    if database == Database::Sqlite {
        return Ok((plan, None, None));
    }
    let postgres = Postgres::start().await?;
    postgres.create_database("nemesis").await?;
    let proxy = Proxy::start(postgres.address()).await?;
    plan.database_url = Some(Postgres::url("nemesis", proxy.address()));
    Ok((plan, Some(postgres), Some(proxy)))
}

/// Returns a plan that runs `program` as it is.
pub(crate) fn plan(program: &Path) -> Plan {
    Plan {
        program: program.to_owned(),
        database_url: None,
        under: Vec::new(),
        settings: Vec::new(),
        disk: None,
    }
}
