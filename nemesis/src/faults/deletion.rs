//! A room is deleted in which somebody talks and others listen.

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{ResumePoint, SendMessageRequest, subscribe_response::Event as Told};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status};

use crate::{
    client::{self, Grpc, Seat, Subscription, grpc, reason, with_token},
    round::{PATIENCE, Round},
};

/// So many messages each listener hears before the room goes.
const HEARD: i64 = 20;

/// Makes a room, has somebody talk in it, and deletes it. Everybody in it must be told that it is not there, and the other
/// rooms must go on.
pub(super) async fn delete_a_room(round: &mut Round) -> Result<()> {
    let address = round.server.address();
    let (short_code, seat) = client::make_room(address, round.seats.len()).await?;
    let (heard, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let mut members = JoinSet::new();
    members.spawn(talk(grpc(address)?, seat.clone()));
    let dialects = [None, None, Some(grpc(address)?), Some(grpc(address)?)];
    let listeners = dialects.len();
    for dialect in dialects {
        let (seat, heard) = (seat.clone(), heard.clone());
        members.spawn(async move {
            let after = ResumePoint::default();
            let mut stream = Subscription::open(address, dialect.as_ref(), &seat.token, after).await?;
            let mut next = 1;
            loop {
                if let Some(Told::Message(message)) = stream.next().await?.event {
                    if message.seq != next {
                        return Err(Status::data_loss(format!("told {} where {next} belongs", message.seq)));
                    }
                    next += 1;
                    if next == HEARD {
                        // Whoever no longer counts has counted enough.
                        let _ = heard.send(());
                    }
                }
            }
        });
    }
    for _ in 0..listeners {
        timeout(PATIENCE, hear.recv()).await.context("nothing is heard in a new room")?;
    }
    client::delete_room(address, short_code).await?;
    while let Some(ended) = timeout(PATIENCE, members.join_next()).await.context("a deleted room goes on")? {
        let Err(status) = ended?;
        if (status.code(), reason(&status).as_str()) != (Code::NotFound, "ROOM_NOT_FOUND") {
            round.blame(format!("a member of a deleted room was told {status:?}"));
        }
        round.outcome.count("members were told", 1);
    }
    ensure!(members.is_empty(), "somebody is still in a deleted room");
    Ok(())
}

/// Talks until it is refused.
async fn talk(mut grpc: Grpc, seat: Seat) -> Result<std::convert::Infallible, Status> {
    for number in 0_u64.. {
        let message = SendMessageRequest { body: number.to_string(), client_message_id: number.to_string() };
        let request =
            with_token(&seat.token, message).map_err(|error| Status::internal(error.to_string()))?;
        grpc.send_message(request).await?;
    }
    Err(Status::internal("there are no more numbers"))
}
