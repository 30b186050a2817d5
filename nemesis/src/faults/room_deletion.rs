//! A room is deleted while one client sends and others read in it.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{ResumePoint, SendMessageRequest, subscribe_response::Event};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tonic::{Code, Status};

use crate::{
    client::{self, Grpc, Member, Subscription, grpc, reason, with_token},
    round::{Round, WAIT_TIMEOUT},
};

/// Each subscriber receives this many messages before the room is deleted.
const RECEIVED: i64 = 20;

/// Creates a room, sends and reads in it, and deletes it. Every client in it must get `ROOM_NOT_FOUND`, and the other rooms
/// must be served meanwhile.
pub(super) async fn delete_a_room(round: &mut Round) -> Result<()> {
    let address = round.server.address();
    let (short_code, member) = client::create_room(address, round.members.len()).await?;
    let (ready, mut readiness) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    clients.spawn(send(grpc(address)?, member.clone()));
    // Those without a gRPC client use gRPC-web.
    let subscribers = [None, None, Some(grpc(address)?), Some(grpc(address)?)];
    let count = subscribers.len();
    for grpc in subscribers {
        clients.spawn(read(address, grpc, member.clone(), ready.clone()));
    }
    for _ in 0..count {
        timeout(WAIT_TIMEOUT, readiness.recv()).await.context("no messages arrive in a new room")?;
    }
    client::delete_room(address, short_code).await?;
    let served = "a deleted room is still served";
    while let Some(ended) = timeout(WAIT_TIMEOUT, clients.join_next()).await.context(served)? {
        let Err(status) = ended?;
        if (status.code(), reason(&status).as_str()) != (Code::NotFound, "ROOM_NOT_FOUND") {
            round.violated(format!("a member of a deleted room got {status:?}"));
        }
        round.outcome.count("members got ROOM_NOT_FOUND", 1);
    }
    ensure!(clients.is_empty(), "a client is still in the deleted room");
    Ok(())
}

/// Reads until the stream ends, and reports once [`RECEIVED`] messages have arrived.
async fn read(
    address: SocketAddr,
    grpc: Option<Grpc>,
    member: Member,
    ready: mpsc::UnboundedSender<()>,
) -> Result<Infallible, Status> {
    let start = ResumePoint::default();
    let mut stream = Subscription::open(address, grpc.as_ref(), &member.token, start).await?;
    let mut next = 1;
    loop {
        if let Some(Event::Message(message)) = stream.next().await?.event {
            if message.seq != next {
                return Err(Status::data_loss(format!("received {} instead of {next}", message.seq)));
            }
            if next == RECEIVED {
                // The receiver is gone only if the fault has failed.
                let _ = ready.send(());
            }
            next += 1;
        }
    }
}

/// Sends until it is refused.
async fn send(mut grpc: Grpc, member: Member) -> Result<Infallible, Status> {
    for number in 0_u64.. {
        let message = SendMessageRequest { body: number.to_string(), client_message_id: number.to_string() };
        let request =
            with_token(&member.token, message).map_err(|error| Status::internal(error.to_string()))?;
        grpc.send_message(request).await?;
    }
    Err(Status::internal("there are no more numbers"))
}
