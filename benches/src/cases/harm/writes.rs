//! Calls without number: writes that keep the messages of others waiting, and lists of a great many rooms.

use std::net::SocketAddr;

use anyhow::Result;
use grpcchatter_proto::v1::{
    JoinChatRoomRequest, JoinChatRoomResponse, LeaveChatRoomRequest, ListChatRoomsRequest,
    UpdateChatRoomRequest,
};
use prost::Message as _;

use super::{
    cast::{Cast, new_room},
    scene::{self, Deed, noticed},
};
use crate::{
    cases::Scale,
    load::flood::{Flood, Next, Request, by_turns},
    report::Row,
    server::Gateway,
};

const CONNECTIONS: usize = 3;
const UNDER_WAY: usize = 1_000;
/// Lists that are asked for at once where the number of rooms is what harms.
const LISTS: usize = 64;

/// Returns the requests of an attack.
type Calls = fn(SocketAddr, &Cast) -> Result<Next>;

pub(super) async fn run(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    // The first makes the rooms that the last lists.
    let attacks: [(&str, Calls); 5] = [
        ("CreateChatRoom", create),
        ("JoinChatRoom", join),
        ("UpdateChatRoom", update),
        ("Leave, Join", leave_and_join),
        ("ListChatRooms", list),
    ];
    let deeds = [Deed::SendMessage, Deed::Chat];
    let process = gateway.start_limited(&[])?;
    let (mut messages, mut chat) = tokio::join!(
        deeds[0].quiet(process.address, cast, scale),
        deeds[1].quiet(process.address, cast, scale)
    );
    drop(process);
    let mut rows = Vec::new();
    for (name, calls) in attacks {
        let process = gateway.start_limited(&[])?;
        let address = process.address;
        let flood = Flood::new(CONNECTIONS, UNDER_WAY, calls(address, cast)?);
        let attack = move || flood.run(address, scale.round);
        let (tally, seen, memory) = scene::beside(&process, cast, &deeds, attack).await?;
        drop(process);
        let name = format!("3 × 1,000 {name}");
        rows.push(scene::tally_row(&name, tally));
        for ((deed, before), mut during) in deeds.into_iter().zip([&mut messages, &mut chat]).zip(seen) {
            rows.extend(scene::deed_rows(&name, deed, before, &mut during, [None, Some(noticed)]));
        }
        rows.push(scene::memory_row(&name, memory));
    }
    rows.extend(many_rooms(gateway, cast, scale).await?);
    Ok(rows)
}

/// Lists one room of the many that the first attack has made.
async fn many_rooms(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let process = gateway.start_limited(&[])?;
    let address = process.address;
    let mut before = Deed::ListMessages.quiet(address, cast, scale).await;
    let flood = Flood::new(1, LISTS, list(address, cast)?);
    let attack = move || flood.run(address, scale.round);
    let (tally, seen, memory) = scene::beside(&process, cast, &[Deed::ListMessages], attack).await?;
    drop(process);
    let name = "rooms without number, 64 lists";
    let mut rows = vec![scene::tally_row(name, tally)];
    for mut during in seen {
        rows.extend(scene::deed_rows(
            name,
            Deed::ListMessages,
            &mut before,
            &mut during,
            [None, Some(noticed)],
        ));
    }
    rows.push(scene::memory_row(name, memory));
    Ok(rows)
}

fn create(address: SocketAddr, cast: &Cast) -> Result<Next> {
    by_turns(vec![Request::call(address, "CreateChatRoom", &cast.attacker, &new_room())])
}

fn join(address: SocketAddr, cast: &Cast) -> Result<Next> {
    let join = JoinChatRoomRequest { short_code: cast.room.clone(), ..Default::default() };
    by_turns(vec![Request::call(address, "JoinChatRoom", &cast.attacker, &join)])
}

fn update(address: SocketAddr, cast: &Cast) -> Result<Next> {
    let update = |code: &String| {
        let room_password = Some("Benchmark_3_word".into());
        let update = UpdateChatRoomRequest { short_code: code.clone(), room_name: None, room_password };
        Request::call(address, "UpdateChatRoom", &cast.attacker, &update)
    };
    // Not the rooms that others are to enter without one.
    by_turns(vec![update(&cast.room)])
}

/// Enters rooms and leaves each that was entered.
fn leave_and_join(address: SocketAddr, cast: &Cast) -> Result<Next> {
    let join = |code: &String| {
        let join = JoinChatRoomRequest { short_code: code.clone(), ..Default::default() };
        Request::call(address, "JoinChatRoom", &cast.guest, &join)
    };
    let enter = by_turns(cast.open.iter().map(join).collect())?;
    Ok(Box::new(move |sent, answer| match JoinChatRoomResponse::decode(answer) {
        Ok(joined) if !joined.token.is_empty() => {
            Request::call(address, "LeaveChatRoom", &joined.token, &LeaveChatRoomRequest {})
        }
        _ => enter(sent, &[]),
    }))
}

fn list(address: SocketAddr, cast: &Cast) -> Result<Next> {
    let page = ListChatRoomsRequest { page_size: 1, page_token: String::new() };
    by_turns(vec![Request::call(address, "ListChatRooms", &cast.attacker, &page)])
}
