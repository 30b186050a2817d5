//! Calls in great numbers: writes that delay the messages of others, and lists of a great number of rooms.

use std::net::SocketAddr;

use anyhow::Result;
use grpcchatter_proto::v1::{
    JoinChatRoomRequest, JoinChatRoomResponse, LeaveChatRoomRequest, ListChatRoomsRequest,
    UpdateChatRoomRequest,
};
use prost::Message as _;

use super::{
    activity::Activity,
    attack::{Bounds, Context, activity_rows, memory_row, noticeable, run_beside, tally_row},
    fixture::{Fixture, new_room},
};
use crate::{
    load::flood::{Flood, Next, Request, by_turns},
    report::Row,
};

const CONNECTIONS: usize = 3;
const CALLS_EACH: usize = 1_000;
/// Concurrent lists where the number of rooms is the attack.
const LISTS_AT_ONCE: usize = 64;
const BOUNDS: Bounds = [None, Some(noticeable)];

/// Returns the requests of an attack.
type Calls = fn(SocketAddr, &Fixture) -> Result<Next>;

pub(super) async fn run(context: Context<'_>) -> Result<Vec<Row>> {
    let Context { gateway, fixture, scale } = context;
    // The first creates the rooms that the last lists.
    let attacks: [(&str, Calls); 5] = [
        ("CreateChatRoom", create),
        ("JoinChatRoom", join),
        ("UpdateChatRoom", update),
        ("Leave, Join", leave_and_join),
        ("ListChatRooms", list),
    ];
    let activities = [Activity::SendMessage, Activity::Chat];
    let process = gateway.start_limited(&[]).await?;
    let (mut messages, mut chat) = tokio::join!(
        activities[0].measure_quiet(process.address, fixture, scale),
        activities[1].measure_quiet(process.address, fixture, scale)
    );
    drop(process);
    let mut rows = Vec::new();
    for (call, calls) in attacks {
        let process = gateway.start_limited(&[]).await?;
        let flood = Flood::new(CONNECTIONS, CALLS_EACH, calls(process.address, fixture)?);
        let attack = move |address| flood.run(address, scale.round);
        let (tally, stats, memory) = run_beside(&process, fixture, &activities, attack).await?;
        drop(process);
        let name = format!("3 × 1,000 {call}");
        rows.push(tally_row(&name, tally));
        for ((activity, before), mut during) in
            activities.into_iter().zip([&mut messages, &mut chat]).zip(stats)
        {
            rows.extend(activity_rows(&name, activity, before, &mut during, BOUNDS));
        }
        rows.push(memory_row(&name, memory));
    }
    rows.extend(list_many_rooms(context).await?);
    Ok(rows)
}

/// Lists one of the many rooms that the first attack has created.
async fn list_many_rooms(context: Context<'_>) -> Result<Vec<Row>> {
    let name = "many rooms, 64 lists";
    let (fixture, round) = (context.fixture.clone(), context.scale.round);
    let attack = move |address| Flood::new(1, LISTS_AT_ONCE, list(address, &fixture)?).run(address, round);
    let (tally, mut rows) = context.run(name, Activity::ListMessages, BOUNDS, attack).await?;
    rows.insert(0, tally_row(name, tally));
    Ok(rows)
}

fn create(address: SocketAddr, fixture: &Fixture) -> Result<Next> {
    by_turns(vec![Request::call(address, "CreateChatRoom", &fixture.attacker, &new_room())])
}

fn join(address: SocketAddr, fixture: &Fixture) -> Result<Next> {
    let join = JoinChatRoomRequest { short_code: fixture.room.clone(), ..Default::default() };
    by_turns(vec![Request::call(address, "JoinChatRoom", &fixture.attacker, &join)])
}

fn update(address: SocketAddr, fixture: &Fixture) -> Result<Next> {
    let update = |code: &String| {
        let room_password = Some("Benchmark_3_word".into());
        let update = UpdateChatRoomRequest { short_code: code.clone(), room_name: None, room_password };
        Request::call(address, "UpdateChatRoom", &fixture.attacker, &update)
    };
    // Not the rooms of the attack that joins without a password.
    by_turns(vec![update(&fixture.room)])
}

/// Joins rooms, and leaves each room that was joined.
fn leave_and_join(address: SocketAddr, fixture: &Fixture) -> Result<Next> {
    let join = |code: &String| {
        let join = JoinChatRoomRequest { short_code: code.clone(), ..Default::default() };
        Request::call(address, "JoinChatRoom", &fixture.guest, &join)
    };
    let joins = by_turns(fixture.open_rooms.iter().map(join).collect())?;
    Ok(Box::new(move |sent, answer| match JoinChatRoomResponse::decode(answer) {
        Ok(joined) if !joined.token.is_empty() => {
            Request::call(address, "LeaveChatRoom", &joined.token, &LeaveChatRoomRequest {})
        }
        _ => joins(sent, &[]),
    }))
}

fn list(address: SocketAddr, fixture: &Fixture) -> Result<Next> {
    let page = ListChatRoomsRequest { page_size: 1, page_token: String::new() };
    by_turns(vec![Request::call(address, "ListChatRooms", &fixture.attacker, &page)])
}
