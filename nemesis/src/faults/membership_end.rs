//! Another process ends a membership; the server learns of it only from the database.

use anyhow::{Context as _, Result, ensure};
use grpcchatter_proto::v1::{ChatRequest, ChatResponse};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{
    client::{self, Member, grpc, with_token},
    round::{DATABASE, Round, WAIT_TIMEOUT},
};

/// The member gets this many answers before the membership ends.
const ANSWERED: i64 = 50;

/// The number of messages that are sent and not answered.
const UNANSWERED: usize = 16;

/// Ends the membership of a member who sends all the time. No message may be stored after that.
pub(super) async fn end_membership(round: &mut Round) -> Result<()> {
    let address = round.server.address();
    let (short_code, member) = client::create_room(address, round.members.len()).await?;
    let (outbox, mut answers) = open(round, &member).await?;
    let mut sent = 0;
    while sent < UNANSWERED {
        send(&outbox, &mut sent).await?;
    }
    let mut last = 0;
    while last < ANSWERED {
        last = answers.message().await?.context("the stream ended before the membership did")?.seq;
        send(&outbox, &mut sent).await?;
    }
    let sending = async {
        // Until the stream ends: the server has polled the database.
        while let Ok(Some(ChatResponse { .. })) = answers.message().await {
            if send(&outbox, &mut sent).await.is_err() {
                return;
            }
        }
    };
    let (last_seq, ended) = tokio::join!(end_elsewhere(round, &short_code), timeout(WAIT_TIMEOUT, sending));
    let last_seq = last_seq?;
    ended.context("the stream of someone who is no member does not end")?;
    let again = client::join(address, &short_code, member.room).await?;
    let (_, log) = client::read_log(address, &again).await?;
    let later = log.iter().filter(|entry| entry.seq > last_seq).count();
    if later > 0 {
        round
            .violated(format!("{later} messages were stored after the membership of their author had ended"));
    }
    ensure!(last_seq >= ANSWERED, "the log is shorter than what was acknowledged");
    round.outcome.count("messages before the end of a membership", usize::try_from(last_seq)?);
    client::delete_room(address, short_code).await
}

async fn open(
    round: &Round,
    member: &Member,
) -> Result<(mpsc::Sender<ChatRequest>, Streaming<ChatResponse>)> {
    let (outbox, outgoing) = mpsc::channel(2 * UNANSWERED);
    let request = with_token(&member.token, ReceiverStream::new(outgoing))?;
    Ok((outbox, grpc(round.server.address())?.chat(request).await?.into_inner()))
}

async fn send(outbox: &mpsc::Sender<ChatRequest>, sent: &mut usize) -> Result<()> {
    let id = format!("member-{sent}");
    *sent += 1;
    Ok(outbox.send(ChatRequest { body: format!("body of {id}"), client_message_id: id }).await?)
}

/// Ends all memberships of a room as another process would, and returns the last seq before that.
async fn end_elsewhere(round: &Round, short_code: &str) -> Result<i64> {
    if let Some(postgres) = &round.postgres {
        let sql = format!(
            "WITH room AS (UPDATE rooms SET members_epoch = members_epoch + 1 WHERE short_code = '{short_code}' \
             RETURNING id, last_seq), member AS (UPDATE members SET epoch = epoch + 1 WHERE room_id IN \
             (SELECT id FROM room)) SELECT last_seq FROM room"
        );
        let url = postgres.url(DATABASE);
        let output =
            postgres.psql(&url).args(["--tuples-only", "--no-align", "--command", &sql]).output().await?;
        return String::from_utf8_lossy(&output.stdout).trim().parse().context("psql returns no seq");
    }
    let file = round.server.data().join("grpcchatter.db");
    let short_code = short_code.to_owned();
    let ending = tokio::task::spawn_blocking(move || -> Result<i64> {
        let mut database = rusqlite::Connection::open(file)?;
        let transaction = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let room: i64 = transaction.query_row(
            "UPDATE rooms SET members_epoch = members_epoch + 1 WHERE short_code = ? RETURNING id",
            [&short_code],
            |row| row.get(0),
        )?;
        transaction.execute("UPDATE members SET epoch = epoch + 1 WHERE room_id = ?", [room])?;
        let last_seq =
            transaction.query_row("SELECT last_seq FROM rooms WHERE id = ?", [room], |row| row.get(0))?;
        transaction.commit()?;
        Ok(last_seq)
    });
    ending.await?
}
