//! The load of a round: those who say something until it is acknowledged, and those who listen and come back.

mod herd;
mod readers;
mod senders;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{sync::watch, task::JoinSet, time::timeout};

pub(crate) use self::{herd::Herd, readers::Dialect};
use crate::{
    client::{Seat, grpc},
    record::Record,
};

/// How long a client waits before it tries again.
const PAUSE: Duration = Duration::from_millis(25);

/// Who is there, in each room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Those who call SendMessage.
    pub(crate) callers: usize,
    /// Those who send each message one to five times at once.
    pub(crate) hasty: usize,
    /// Those who talk on Chat, with several messages unanswered.
    pub(crate) talkers: usize,
    /// Those who subscribe by native gRPC.
    pub(crate) native: usize,
    /// Those who subscribe by gRPC-web.
    pub(crate) web: usize,
    /// Whether those who subscribe go away by themselves now and then.
    pub(crate) restless: bool,
    /// Those who go away and come back together, by native gRPC and by gRPC-web.
    pub(crate) herd: (usize, usize),
}

impl Crowd {
    /// Somebody of each kind.
    pub(crate) const MIXED: Self =
        Self { callers: 2, hasty: 1, talkers: 2, native: 3, web: 2, restless: true, herd: (0, 0) };
}

/// What all clients of a round share.
#[derive(Clone, Debug)]
struct Common {
    address: SocketAddr,
    record: Arc<Record>,
    restless: bool,
    /// Whether nothing new is to be said, or the end has come.
    phase: watch::Receiver<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    Talking,
    Finishing,
    Over,
}

/// The clients of a round. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Load {
    phase: watch::Sender<Phase>,
    senders: JoinSet<()>,
    readers: JoinSet<()>,
}

impl Load {
    /// Starts the clients. Those who say something find the server at the first address, those who only listen at the
    /// second.
    ///
    /// # Errors
    /// If the address is none.
    pub(crate) fn start(
        (mouths, ears): (SocketAddr, SocketAddr),
        seats: &[Seat],
        crowd: Crowd,
        record: &Arc<Record>,
    ) -> Result<Self> {
        let (phase, follow) = watch::channel(Phase::Talking);
        let restless = crowd.restless;
        let common = Common { address: ears, record: Arc::clone(record), restless, phase: follow };
        let mut load = Self { phase, senders: JoinSet::new(), readers: JoinSet::new() };
        for seat in seats {
            for _ in 0..crowd.native {
                load.readers.spawn(readers::listen(
                    common.clone(),
                    seat.clone(),
                    Dialect::Native(grpc(ears)?),
                ));
            }
            for _ in 0..crowd.web {
                load.readers.spawn(readers::listen(common.clone(), seat.clone(), Dialect::Web));
            }
            for _ in 0..crowd.callers {
                load.senders.spawn(senders::call(common.clone(), seat.clone(), grpc(mouths)?, 1));
            }
            for _ in 0..crowd.hasty {
                load.senders.spawn(senders::call(common.clone(), seat.clone(), grpc(mouths)?, 5));
            }
            for _ in 0..crowd.talkers {
                load.senders.spawn(senders::talk(common.clone(), seat.clone(), grpc(mouths)?));
            }
        }
        if let Some(seat) = seats.first() {
            load.readers.spawn(readers::ask_for_what_never_was(common, seat.clone(), grpc(ears)?));
        }
        Ok(load)
    }

    /// Says nothing new, and returns once all is answered, or `patience` has ended. Readers go on.
    pub(crate) async fn finish(&mut self, patience: Duration) {
        self.phase.send_replace(Phase::Finishing);
        let answered = async { while self.senders.join_next().await.is_some() {} };
        // What is not answered by then, the checker reports.
        drop(timeout(patience, answered).await);
        self.senders.abort_all();
    }

    /// Ends the readers.
    pub(crate) async fn end(&mut self) {
        self.phase.send_replace(Phase::Over);
        drop(
            timeout(Duration::from_secs(1), async { while self.readers.join_next().await.is_some() {} })
                .await,
        );
    }
}
