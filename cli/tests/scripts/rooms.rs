//! The commands about rooms: creating, leaving, listing users, resuming a tail.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::ChildStdout,
    time::timeout,
};

use crate::home::{Home, TIMEOUT, anna, json, output_of};

#[tokio::test]
async fn a_room_is_created_listed_and_left() {
    let Some((server, home, _client, _code)) = anna().await else { return };
    let made = home.run(&["create", "Tea at five", "--json"]).await.ok();
    let made = json(&made);
    assert_eq!((&made["type"], &made["name"]), (&"room".into(), &"Tea at five".into()));
    assert_eq!(made["owner_name"], "anna01");
    let locked = home.run_with_input("edelweiss\n", &["create", "Locked", "--password-stdin"]).await.ok();
    let locked = locked.trim();
    home.run(&["create", ""]).await.failed(64, "a room needs a name");

    server.user("ben001").await;
    let guest = Home::new();
    guest.log_in(&server.url, "ben001").await;
    guest.run(&["join", locked]).await.failed(77, "");
    guest.run_with_input("edelweiss", &["join", locked, "--password-stdin"]).await.ok();
    guest.run(&["send", "Locked", "hello"]).await.ok();

    let users = guest.run(&["users", locked, "--json"]).await.ok();
    let names: Vec<_> = users.lines().map(|line| json(line)["user_name"].clone()).collect();
    assert!(names.contains(&"ben001".into()), "{users}");
    assert!(users.lines().all(|line| json(line)["online_since"].is_string()), "{users}");
    let users = guest.run(&["users", "Locked"]).await.ok();
    assert!(users.lines().any(|line| line.starts_with("ben001  (since 20")), "{users}");

    let left = guest.run(&["leave", "Locked", "--json"]).await.ok();
    assert_eq!(json(&left), serde_json::json!({ "type": "left", "short_code": locked }));
    assert_eq!(guest.run(&["rooms"]).await.ok(), "");
    guest.run(&["leave", locked]).await.failed(66, "you are in no room");
    guest.run(&["send", locked, "hello"]).await.failed(77, "");
}

#[tokio::test]
async fn an_invitation_link_joins_its_room() {
    let Some((server, home, _client, code)) = anna().await else { return };
    let link = home.run(&["invite", &code, "--link"]).await.ok();
    assert!(link.starts_with(&format!("{}/#join=", server.url)), "{link}");
    server.user("ben001").await;
    let guest = Home::new();
    guest.log_in(&server.url, "ben001").await;
    assert_eq!(guest.run(&["join", link.trim()]).await.ok().trim(), code);
    let elsewhere = link.trim().replace("http://", "https://");
    guest.run(&["join", &elsewhere]).await.failed(64, "https://127.0.0.1:");
}

#[tokio::test]
async fn an_empty_message_is_not_sent() {
    let Some((_server, home, _client, code)) = anna().await else { return };
    home.run(&["send", &code, ""]).await.failed(64, "an empty message cannot be sent");
    for input in ["", "\n", " \t\n\n"] {
        home.run_with_input(input, &["send", &code, "-"]).await.failed(64, "an empty message cannot be sent");
    }
    assert_eq!(home.run(&["export", &code]).await.ok(), "");
}

/// The bodies of the next lines.
async fn bodies(lines: &mut Lines<BufReader<ChildStdout>>, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let line = timeout(TIMEOUT, lines.next_line()).await.expect("it comes").unwrap().unwrap();
        bodies.push(json(&line)["body"].as_str().unwrap_or("reset").to_owned());
    }
    bodies
}

#[tokio::test]
async fn a_tail_resumes_after_a_seq() {
    let Some((_server, home, client, code)) = anna().await else { return };
    let room = client.join_chat_room(&code, "").await.unwrap();
    let from = |after: &'static str| {
        let mut tail = home.command(&["tail", &code, "--json", "--after", after]).spawn().unwrap();
        let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
        (tail, lines)
    };
    let (_first, mut whole) = from("0");
    // More than a page, so that the last page and the stream must meet.
    let number = |number| format!("number {number}");
    for seq in 1..=205 {
        room.send(&number(seq)).await.unwrap();
    }
    assert_eq!(bodies(&mut whole, 205).await, (1..=205).map(number).collect::<Vec<_>>());
    let (_later, mut rest) = from("2");
    assert_eq!(bodies(&mut rest, 203).await, (3..=205).map(number).collect::<Vec<_>>());
    let (_end, mut end) = from("205");
    // Whether or not the tail has started by now, the message arrives once.
    room.send("after all").await.unwrap();
    for lines in [&mut whole, &mut rest, &mut end] {
        assert_eq!(bodies(lines, 1).await, ["after all"]);
    }
    // The log ends before that number, as after a restored backup.
    let (_lost, mut lost) = from("500");
    assert_eq!(bodies(&mut lost, 1).await, ["reset"]);
    room.send("a new beginning").await.unwrap();
    let negative = home.command(&["tail", &code, "--after", "-1"]).spawn().unwrap();
    assert_eq!(output_of(negative).await.code, 64);
    let both = home.command(&["tail", &code, "--after", "1", "-n", "2"]).spawn().unwrap();
    assert_eq!(output_of(both).await.code, 64);
}

/// The number of gRPC calls that the server has started, by its own count.
fn started_calls(url: &str) -> u64 {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let started = page.lines().filter(|line| line.starts_with("grpc_server_started_total{"));
    started.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn a_send_to_a_cached_room_takes_two_calls() {
    let Some((server, home, _client, code)) = anna().await else { return };
    home.run(&["send", &code, "one"]).await.ok();
    let before = started_calls(&server.url);
    home.run(&["send", &code, "two"]).await.ok();
    assert_eq!(started_calls(&server.url) - before, 2);
    let exported = home.run(&["export", &code]).await.ok();
    assert_eq!(exported.lines().count(), 2, "{exported}");
}

#[tokio::test]
async fn a_name_of_an_own_room_takes_precedence_over_another_rooms_code() {
    let Some((server, home, client, code)) = anna().await else { return };
    // Anna's room has another room's short code as its name.
    let stranger = server.user("ben001").await;
    let theirs = stranger.create_chat_room("Theirs", "").await.unwrap().short_code;
    let mine = client.create_chat_room(&theirs, "").await.unwrap().short_code;
    home.run(&["send", &theirs, "hello"]).await.ok();
    assert!(home.run(&["export", &mine]).await.ok().contains("hello"));
    // A cached short code of a deleted room is looked up again.
    home.run(&["send", &code, "hello"]).await.ok();
    client.delete_chat_room(&code).await.unwrap();
    home.run(&["send", &code, "hello"]).await.failed(66, "");
}
