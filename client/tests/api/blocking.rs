//! The module `blocking`: the same calls without an async runtime.

use std::{collections::BTreeSet, thread};

use grpcchatter_client::{Error, blocking::Client};

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
