//! The module `blocking`: the same calls without an async runtime.

use std::{collections::BTreeSet, thread, time::Duration};

use grpcchatter_client::{
    Account, ClientBuilder, Error, Event, Invitation, Message, Page, RoomInfo, Start, User,
    blocking::{Client, Events, Room},
};

use crate::fake::{Fake, with_messages};

/// A server that runs as long as its runtime.
fn server() -> (tokio::runtime::Runtime, Fake) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(Fake::start());
    (runtime, fake)
}

/// The public functions of a source file.
fn names(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let item = line.trim_start().strip_prefix("pub ")?;
        item.trim_start_matches("async ").strip_prefix("fn ")?.split(['(', '<']).next()
    })
}

#[test]
fn every_async_call_has_a_blocking_twin() {
    let sources = [
        include_str!("../../src/client.rs"),
        include_str!("../../src/rooms.rs"),
        include_str!("../../src/room.rs"),
        include_str!("../../src/original.rs"),
    ];
    let calls: BTreeSet<_> = sources.into_iter().flat_map(names).collect();
    let sources = [
        include_str!("../../src/blocking/client.rs"),
        include_str!("../../src/blocking/room.rs"),
        include_str!("../../src/blocking/original.rs"),
    ];
    let blocking: BTreeSet<_> = sources.into_iter().flat_map(names).collect();
    assert!(calls.len() > 20);
    assert_eq!(calls, blocking);
}

/// Every blocking call with its types, so that another signature does not compile.
#[expect(dead_code, reason = "it is only compiled")]
fn every_blocking_call_keeps_its_signature(client: &Client, room: &Room) {
    let _: ClientBuilder = Client::builder(String::new());
    let _: [Result<Client, Error>; 2] = [Client::new_at(""), Client::builder("").build_blocking()];
    let _: &str = client.url();
    let _: Client = client.within(Duration::ZERO);

    let _: [Result<Account, Error>; 2] = [client.register("", ""), client.account()];
    let _: [Result<(), Error>; 2] = [client.login("", ""), client.login_if_needed("", "")];
    let _: Result<String, Error> = client.user_name();
    let _: [Result<(), Error>; 2] = [client.change_password("", ""), client.logout()];
    let _: Result<(), Error> = client.delete_account("");

    let _: [Result<RoomInfo, Error>; 2] = [client.create_room("", ""), client.create_chat_room("", "")];
    let _: [Result<RoomInfo, Error>; 2] = [client.rename_room("", ""), client.rename_chat_room("", "")];
    let _: Result<RoomInfo, Error> = client.change_room_password("", "");
    let _: [Result<(), Error>; 2] = [client.delete_room(""), client.delete_chat_room("")];
    let _: [Result<Vec<RoomInfo>, Error>; 2] = [client.rooms(), client.list_chat_rooms()];
    let _: Result<Invitation, Error> = client.invite("", Some(Duration::ZERO));
    let _: [Result<(), Error>; 2] = [client.ban_user("", ""), client.unban_user("", "")];
    let _: Result<(), Error> = client.remove_user("", "");
    let _: [Result<Room, Error>; 2] = [client.join("", ""), client.join_chat_room("", "")];
    let _: Result<Room, Error> = client.join_by_invitation("");
    let _: Result<Message, Error> = client.join_and_send("", "");
    let _: Result<Message, Error> = client.join_and_send_with_id("", "", "");

    let _: RoomInfo = room.info();
    let _: [Result<Message, Error>; 2] = [room.send(""), room.send_with_id("", "")];
    let _: Result<Message, Error> = room.receive();
    let mut events: [Events; 2] = [room.events(), room.events_from(Start::Joined)];
    let _: Option<Event> = events[0].next();
    let _: Result<Page, Error> = room.newest_messages(1_u16);
    let _: Result<Page, Error> = room.messages_before(1_i64, 1_u16);
    let _: Result<Page, Error> = room.messages_after(1_i64, 1_u16);
    let _: [Result<Vec<User>, Error>; 2] = [room.users(), room.list_chat_room_users()];
    let _: Result<(), Error> = room.leave();
    let _: [(); 2] = [room.disconnect(), client.disconnect()];
}

#[test]
fn the_calls_work_without_a_runtime() {
    let (_runtime, fake) = server();
    fake.script_stream(with_messages([1]), None);
    let client = Client::new_at(&fake.url).unwrap();
    client.login("walker1", "Secret-1!").unwrap();
    let room = client.join_chat_room("aB3xYz", "").unwrap();
    assert_eq!(room.receive().unwrap().seq, 1);
    assert_eq!(room.send("hello").unwrap().seq, 1);
    room.disconnect();
    assert_eq!(room.events().count(), 1);
}

#[test]
fn disconnect_unblocks_a_reader_in_another_thread() {
    let (runtime, fake) = server();
    fake.script_stream(with_messages([]), None);
    let client = Client::new_at(&fake.url).unwrap();
    client.login("walker1", "Secret-1!").unwrap();
    let room = client.join_chat_room("aB3xYz", "").unwrap();
    let reader = thread::spawn(move || room.receive());
    runtime.block_on(async { fake.open.subscribe().wait_for(|open| *open == 1).await.map(drop) }).unwrap();
    client.disconnect();
    assert!(matches!(reader.join().unwrap(), Err(Error::Disconnected)));
}

#[test]
fn debug_output_contains_no_secret() {
    let (_runtime, fake) = server();
    let client = Client::builder(&fake.url).build_blocking().unwrap();
    client.login("walker1", "Secret-1!").unwrap();
    let room = client.join_chat_room("aB3xYz", "edelweiss").unwrap();
    let printed = format!("{client:?} {room:?} {:?}", room.events());
    for secret in ["Secret-1!", "edelweiss", "user-1", "refresh-1", "chat-1", "Runtime", "Thread"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn dropping_a_blocking_client_inside_a_runtime_is_safe() {
    let fake = Fake::start().await;
    drop(Client::new_at(&fake.url).unwrap());
}
