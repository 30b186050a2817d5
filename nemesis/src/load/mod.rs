//! The load of a round: clients that send each message until it is acknowledged, and clients that subscribe and resume.

mod mass_subscribers;
mod senders;
mod subscribers;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{sync::watch, task::JoinSet, time::timeout};

pub(crate) use self::{mass_subscribers::MassSubscribers, subscribers::Dialect};
use crate::{
    client::{Member, grpc},
    record::Record,
};

/// The pause before a client tries again.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// The number of clients of each kind in each room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientMix {
    /// Send by SendMessage.
    pub(crate) callers: usize,
    /// Send each message by one to five concurrent calls of SendMessage.
    pub(crate) concurrent_retriers: usize,
    /// Send on Chat, with several messages unanswered.
    pub(crate) chat_senders: usize,
    /// Subscribe by native gRPC.
    pub(crate) native_subscribers: usize,
    /// Subscribe by gRPC-web.
    pub(crate) web_subscribers: usize,
    /// Whether those subscribers disconnect by themselves now and then, and resume.
    pub(crate) reconnects: bool,
    /// Subscribe by native gRPC, and disconnect and reconnect all at once.
    pub(crate) mass_native: usize,
    /// The same by gRPC-web.
    pub(crate) mass_web: usize,
}

impl ClientMix {
    /// Some of each kind, but for the mass subscribers.
    pub(crate) const MIXED: Self = Self {
        callers: 2,
        concurrent_retriers: 1,
        chat_senders: 2,
        native_subscribers: 3,
        web_subscribers: 2,
        reconnects: true,
        mass_native: 0,
        mass_web: 0,
    };
}

/// What all clients of a round share.
#[derive(Clone, Debug)]
struct Common {
    /// The address of the subscribers' proxy.
    address: SocketAddr,
    record: Arc<Record>,
    reconnects: bool,
    phase: watch::Receiver<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    /// New messages are sent.
    Sending,
    /// Only unanswered messages are sent again.
    Finishing,
    Ended,
}

/// The clients of a round. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Load {
    phase: watch::Sender<Phase>,
    senders: JoinSet<()>,
    subscribers: JoinSet<()>,
}

impl Load {
    /// Starts the clients. Senders connect to `writers`, subscribers to `readers`.
    ///
    /// # Errors
    /// If an address is not valid.
    pub(crate) fn start(
        (writers, readers): (SocketAddr, SocketAddr),
        members: &[Member],
        mix: ClientMix,
        record: &Arc<Record>,
    ) -> Result<Self> {
        let (phase, follow) = watch::channel(Phase::Sending);
        let reconnects = mix.reconnects;
        let common = Common { address: readers, record: Arc::clone(record), reconnects, phase: follow };
        let mut load = Self { phase, senders: JoinSet::new(), subscribers: JoinSet::new() };
        for member in members {
            for _ in 0..mix.native_subscribers {
                let dialect = Dialect::Native(grpc(readers)?);
                load.subscribers.spawn(subscribers::subscribe(common.clone(), member.clone(), dialect));
            }
            for _ in 0..mix.web_subscribers {
                load.subscribers.spawn(subscribers::subscribe(common.clone(), member.clone(), Dialect::Web));
            }
            for _ in 0..mix.callers {
                load.senders.spawn(senders::call(common.clone(), member.clone(), grpc(writers)?, 1));
            }
            for _ in 0..mix.concurrent_retriers {
                load.senders.spawn(senders::call(common.clone(), member.clone(), grpc(writers)?, 5));
            }
            for _ in 0..mix.chat_senders {
                load.senders.spawn(senders::chat(common.clone(), member.clone(), grpc(writers)?));
            }
        }
        if let Some(member) = members.first() {
            let grpc = grpc(readers)?;
            load.subscribers.spawn(subscribers::resume_after_unknown_message(common, member.clone(), grpc));
        }
        Ok(load)
    }

    /// Sends no new messages, and returns once all are answered or `limit` has passed. Subscribers keep reading.
    pub(crate) async fn finish_sending(&mut self, limit: Duration) {
        self.phase.send_replace(Phase::Finishing);
        let answered = async { while self.senders.join_next().await.is_some() {} };
        // The checker reports messages that are still unanswered.
        drop(timeout(limit, answered).await);
        self.senders.abort_all();
    }

    /// Ends the subscribers.
    pub(crate) async fn end(&mut self) {
        self.phase.send_replace(Phase::Ended);
        let ended = async { while self.subscribers.join_next().await.is_some() {} };
        drop(timeout(Duration::from_secs(1), ended).await);
    }
}
