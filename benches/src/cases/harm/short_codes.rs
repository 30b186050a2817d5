//! Short codes are guessed through a call that only an owner may make, whose answers show which rooms exist.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use anyhow::Result;
use futures_util::future::join_all;
use grpcchatter_proto::v1::{DeleteChatRoomRequest, DeleteChatRoomResponse};
use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

use super::{
    activity::Activity,
    attack::{Context, noticeable},
};
use crate::{
    load::{
        flood::{ATTACK_ADDRESS, RECONNECT_PAUSE},
        grpc::{Connection, StatusError},
    },
    report::Row,
};

const CALLS_AT_ONCE: usize = 64;
/// The wrong codes an hour that may be answered by NOT_FOUND, as in JoinChatRoom.
const PER_HOUR: f64 = 30.0;
/// gRPC's codes for a room that does not exist, and for a limit that is reached.
const NOT_FOUND: &str = "5";
const RESOURCE_EXHAUSTED: &str = "8";
const NAME: &str = "codes through DeleteChatRoom";

pub(super) async fn run(context: Context<'_>) -> Result<Vec<Row>> {
    let (token, round) = (context.fixture.attacker.clone(), context.scale.round);
    let attack = move |address| guess(address, &token, round);
    let (answers, rest) = context.run(NAME, Activity::SendMessage, [None, Some(noticeable)], attack).await?;
    let mut rows = vec![
        Row::new(format!("{NAME}: answered by NOT_FOUND (RATE_LIMITED)"), f64::from(answers.not_found))
            .beside(f64::from(answers.limited))
            .at_most(PER_HOUR, PER_HOUR),
        Row::new(format!("{NAME}: answered otherwise"), f64::from(answers.otherwise)).at_most(0.0, 0.0),
    ];
    rows.extend(rest);
    Ok(rows)
}

/// The number of guesses by their answers.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    not_found: u32,
    limited: u32,
    otherwise: u32,
}

/// Guesses codes for some time.
fn guess(address: SocketAddr, token: &str, time: Duration) -> Result<Answers> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answers = Rc::<Cell<Answers>>::default();
    let own = Rc::clone(&answers);
    runtime.block_on(LocalSet::new().run_until(async move {
        let guessed = Cell::new(0);
        let guesses = async {
            loop {
                if let Ok(connection) = Connection::open_from(ATTACK_ADDRESS, address).await {
                    // They return once the connection has ended.
                    let calls = (0..CALLS_AT_ONCE).map(|_| repeat_guess(&connection, token, &guessed, &own));
                    join_all(calls).await;
                }
                sleep(RECONNECT_PAUSE).await;
            }
        };
        let _: Result<(), _> = timeout(time, guesses).await;
    }));
    Ok(answers.get())
}

async fn repeat_guess(connection: &Connection, token: &str, guessed: &Cell<u32>, answers: &Cell<Answers>) {
    loop {
        let number = guessed.replace(guessed.get() + 1);
        let room = DeleteChatRoomRequest { short_code: format!("{number:06}") };
        let path = "/grpcchatter.v1.ChatService/DeleteChatRoom";
        let answer = connection.unary::<DeleteChatRoomResponse>(path, Some(token), &room).await;
        let mut sum = answers.get();
        match answer.as_ref().map_err(|error| error.downcast_ref::<StatusError>()) {
            Err(Some(status)) if status.code == NOT_FOUND => sum.not_found += 1,
            Err(Some(status)) if status.code == RESOURCE_EXHAUSTED => sum.limited += 1,
            Ok(_) | Err(Some(_)) => sum.otherwise += 1,
            // The connection is closed.
            Err(None) => return,
        }
        answers.set(sum);
    }
}
