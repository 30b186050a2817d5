//! Those who listen, and come back where they were.

use std::time::Duration;

use grpcchatter_nemesis::{Event, Start};
use grpcchatter_proto::v1::{ResumePoint, Subscribed, subscribe_response::Event as Told};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::{Common, PAUSE, Phase};
use crate::{
    client::{Grpc, Seat, Subscription, entry},
    record::Reader,
};

/// How long the first event of a stream is waited for.
const FIRST: Duration = Duration::from_secs(4);

/// How a reader speaks.
#[derive(Clone, Debug)]
pub(crate) enum Dialect {
    Native(Grpc),
    Web,
}

impl Dialect {
    pub(super) const fn grpc(&self) -> Option<&Grpc> {
        match self {
            Self::Native(grpc) => Some(grpc),
            Self::Web => None,
        }
    }
}

/// Reads a room from its first message on, on one stream after the other: where it is restless, it goes away by itself
/// now and then, and comes back a moment later, when more was said.
pub(super) async fn listen(mut common: Common, seat: Seat, dialect: Dialect) {
    let reader = common.record.enter(seat.room);
    let mut last = ResumePoint::default();
    while *common.phase.borrow() < Phase::Over {
        let mut phase = common.phase.clone();
        let over = phase.wait_for(|phase| *phase == Phase::Over);
        let heard = tokio::select! {
            heard = listen_once(&common, &seat, &dialect, &reader, &mut last) => heard,
            _ = over => return,
        };
        if let Err(status) = heard {
            if status.code() == Code::Aborted {
                common.record.note(Event::LogReset { reader: reader.number });
            }
            common.record.refused(&status);
        }
        let _ = timeout(PAUSE, common.phase.wait_for(|phase| *phase == Phase::Over)).await;
    }
}

async fn listen_once(
    common: &Common,
    seat: &Seat,
    dialect: &Dialect,
    reader: &Reader,
    last: &mut ResumePoint,
) -> Result<(), Status> {
    let (mut stream, reset) = open(common, seat, dialect.grpc(), reader, last.clone()).await?;
    if reset {
        // What it had is no more.
        *last = ResumePoint::default();
    }
    let stay = if common.restless { fastrand::usize(200..2_000) } else { usize::MAX };
    for _ in 0..stay {
        let told = stream.next().await?.event;
        if let Some(Told::Message(message)) = told {
            if message.seq > last.seq {
                *last = ResumePoint { seq: message.seq, message_id: message.message_id.clone() };
            }
            common.record.received(reader, entry(message));
        }
    }
    Ok(())
}

/// Opens a stream, and notes what its first event says. Also returns whether it is a reset.
async fn open(
    common: &Common,
    seat: &Seat,
    grpc: Option<&Grpc>,
    reader: &Reader,
    after: ResumePoint,
) -> Result<(Subscription, bool), Status> {
    let ResumePoint { seq, message_id } = after.clone();
    let opening = async {
        let mut stream = Subscription::open(common.address, grpc, &seat.token, after).await?;
        match stream.next().await?.event {
            Some(Told::Subscribed(subscribed)) => Ok((stream, subscribed)),
            other => Err(Status::internal(format!("a stream began with {other:?}"))),
        }
    };
    let opened = timeout(FIRST, opening).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no event")));
    let (stream, Subscribed { reset, room, .. }) = opened?;
    let start = if reset {
        Start::Reset { seq, message_id, last_seq: room.map(|room| room.last_seq) }
    } else {
        Start::After { seq, message_id }
    };
    common.record.note(Event::Opened { reader: reader.number, room: seat.room, start, author: None });
    Ok((stream, reset))
}

/// Asks to go on after messages that are not in the log: it must be told that this cannot be.
pub(super) async fn ask_for_what_never_was(common: Common, seat: Seat, grpc: Grpc) {
    let message_id = "01890000-0000-7000-8000-000000000000".to_owned();
    while *common.phase.borrow() == Phase::Talking {
        for seq in [1, 1_000_000_000] {
            let point = ResumePoint { seq, message_id: message_id.clone() };
            let reader = common.record.reader(seat.room);
            if let Ok(stream) = open(&common, &seat, Some(&grpc), &reader, point).await {
                drop(stream);
                common.record.leave(&reader);
            }
        }
        sleep(4 * PAUSE).await;
    }
}
