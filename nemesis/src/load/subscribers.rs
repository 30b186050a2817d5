//! Clients that subscribe, and resume after the last message that they received.

use std::time::Duration;

use grpcchatter_nemesis::{Event, Start};
use grpcchatter_proto::v1::{ResumePoint, Subscribed, subscribe_response::Event as StreamEvent};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::{Common, Phase, RETRY_PAUSE};
use crate::{
    client::{Grpc, Member, Subscription, entry},
    record::Reader,
};

/// The longest wait for the first event of a stream.
const FIRST_EVENT_TIMEOUT: Duration = Duration::from_secs(4);

/// The protocol by which a client subscribes.
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

/// Reads a room from its first message on, on one stream after the other. With `reconnects` it closes its stream now and
/// then, and resumes a moment later, when there are more messages.
pub(super) async fn subscribe(mut common: Common, member: Member, dialect: Dialect) {
    let reader = common.record.add_reader(member.room);
    let mut last = ResumePoint::default();
    while *common.phase.borrow() < Phase::Ended {
        let mut phase = common.phase.clone();
        let ended = phase.wait_for(|phase| *phase == Phase::Ended);
        let read = tokio::select! {
            read = read_stream(&common, &member, &dialect, &reader, &mut last) => read,
            _ = ended => return,
        };
        if let Err(status) = read {
            if status.code() == Code::Aborted {
                common.record.push(Event::LogReset { reader: reader.number });
            }
            common.record.refused(&status);
        }
        let _ = timeout(RETRY_PAUSE, common.phase.wait_for(|phase| *phase == Phase::Ended)).await;
    }
}

/// Reads one stream until it ends, or until it has been open long enough.
async fn read_stream(
    common: &Common,
    member: &Member,
    dialect: &Dialect,
    reader: &Reader,
    last: &mut ResumePoint,
) -> Result<(), Status> {
    let (mut stream, reset) = open(common, member, dialect.grpc(), reader, last.clone()).await?;
    if reset {
        // The message that it had is not in the log.
        *last = ResumePoint::default();
    }
    let events = if common.reconnects { fastrand::usize(200..2_000) } else { usize::MAX };
    for _ in 0..events {
        if let Some(StreamEvent::Message(message)) = stream.next().await?.event {
            if message.seq > last.seq {
                *last = ResumePoint { seq: message.seq, message_id: message.message_id.clone() };
            }
            common.record.received(reader, entry(message));
        }
    }
    Ok(())
}

/// Opens a stream, and records its first event. Also returns whether that was a reset.
async fn open(
    common: &Common,
    member: &Member,
    grpc: Option<&Grpc>,
    reader: &Reader,
    after: ResumePoint,
) -> Result<(Subscription, bool), Status> {
    let ResumePoint { seq, message_id } = after.clone();
    let opening = async {
        let mut stream = Subscription::open(common.address, grpc, &member.token, after).await?;
        match stream.next().await?.event {
            Some(StreamEvent::Subscribed(subscribed)) => Ok((stream, subscribed)),
            other => Err(Status::internal(format!("a stream began with {other:?}"))),
        }
    };
    let opened = timeout(FIRST_EVENT_TIMEOUT, opening)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no event")));
    let (stream, Subscribed { reset, room, .. }) = opened?;
    let start = if reset {
        Start::Reset { seq, message_id, last_seq: room.map(|room| room.last_seq) }
    } else {
        Start::After { seq, message_id }
    };
    common.record.push(Event::Opened { reader: reader.number, room: member.room, start, author: None });
    Ok((stream, reset))
}

/// Asks to resume after messages that are not in the log, which must be answered by a reset.
pub(super) async fn resume_after_unknown_message(common: Common, member: Member, grpc: Grpc) {
    let message_id = "01890000-0000-7000-8000-000000000000".to_owned();
    while *common.phase.borrow() == Phase::Sending {
        for seq in [1, 1_000_000_000] {
            let point = ResumePoint { seq, message_id: message_id.clone() };
            let reader = common.record.unchecked_reader(member.room);
            if let Ok(stream) = open(&common, &member, Some(&grpc), &reader, point).await {
                drop(stream);
                common.record.remove_reader(&reader);
            }
        }
        sleep(4 * RETRY_PAUSE).await;
    }
}
