//! Short codes that are tried by a call that only an owner may make: what it answers tells which rooms exist.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use anyhow::Result;
use futures_util::future::join_all;
use grpcchatter_proto::v1::{DeleteChatRoomRequest, DeleteChatRoomResponse};
use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

use super::{
    cast::Cast,
    scene::{self, Deed, noticed},
};
use crate::{
    cases::Scale,
    load::{
        flood::{AGAIN, ELSEWHERE},
        grpc::{Connection, Refusal},
    },
    report::Row,
    server::Gateway,
};

const UNDER_WAY: usize = 64;
/// How many wrong codes an hour are answered by NOT_FOUND, as in JoinChatRoom.
const AN_HOUR: f64 = 30.0;
/// gRPC's numbers for a room that is not there, and for a limit that is reached.
const NOT_FOUND: &str = "5";
const RATE_LIMITED: &str = "8";
const DEED: Deed = Deed::SendMessage;
const NAME: &str = "codes through DeleteChatRoom";

pub(super) async fn run(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let process = gateway.start_limited(&[])?;
    let (address, token) = (process.address, cast.attacker.clone());
    let mut before = DEED.quiet(address, cast, scale).await;
    let attack = move || attempts(address, &token, scale.round);
    let (codes, seen, memory) = scene::beside(&process, cast, &[DEED], attack).await?;
    drop(process);
    let mut rows = vec![
        Row::new(format!("{NAME}: answered by NOT_FOUND (RATE_LIMITED)"), f64::from(codes.not_found))
            .beside(f64::from(codes.limited))
            .at_most(AN_HOUR, AN_HOUR),
        Row::new(format!("{NAME}: answered otherwise"), f64::from(codes.otherwise)).at_most(0.0, 0.0),
    ];
    for mut during in seen {
        rows.extend(scene::deed_rows(NAME, DEED, &mut before, &mut during, [None, Some(noticed)]));
    }
    rows.push(scene::memory_row(NAME, memory));
    Ok(rows)
}

/// What became of the codes.
#[derive(Clone, Copy, Debug, Default)]
struct Codes {
    not_found: u32,
    limited: u32,
    otherwise: u32,
}

/// Tries codes for so long.
fn attempts(address: SocketAddr, token: &str, time: Duration) -> Result<Codes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let codes = Rc::<Cell<Codes>>::default();
    let own = Rc::clone(&codes);
    runtime.block_on(LocalSet::new().run_until(async move {
        let tried = Cell::new(0);
        let attempts = async {
            loop {
                if let Ok(connection) = Connection::open_from(ELSEWHERE, address).await {
                    // They go on until the connection has ended.
                    join_all((0..UNDER_WAY).map(|_| attempt(&connection, token, &tried, &own))).await;
                }
                sleep(AGAIN).await;
            }
        };
        let _: Result<(), _> = timeout(time, attempts).await;
    }));
    Ok(codes.get())
}

async fn attempt(connection: &Connection, token: &str, tried: &Cell<u32>, codes: &Cell<Codes>) {
    loop {
        let number = tried.replace(tried.get() + 1);
        let room = DeleteChatRoomRequest { short_code: format!("{number:06}") };
        let path = "/grpcchatter.v1.ChatService/DeleteChatRoom";
        let answer = connection.unary::<DeleteChatRoomResponse>(path, Some(token), &room).await;
        let mut sum = codes.get();
        match answer.as_ref().map_err(|error| error.downcast_ref::<Refusal>()) {
            Err(Some(refusal)) if refusal.code == NOT_FOUND => sum.not_found += 1,
            Err(Some(refusal)) if refusal.code == RATE_LIMITED => sum.limited += 1,
            Ok(_) | Err(Some(_)) => sum.otherwise += 1,
            // The connection is gone.
            Err(None) => return,
        }
        codes.set(sum);
    }
}
