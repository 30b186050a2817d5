//! What each command does.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    time::timeout,
};

use crate::{
    home::{Home, TIMEOUT, UNREACHABLE_URL, anna, json, output_of},
    process::PASSWORD,
};

/// The files below a folder, with their permissions.
fn files(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            found.push((path.to_str().unwrap().to_owned(), mode));
        }
    }
    found
}

#[tokio::test]
async fn sent_messages_are_exported() {
    let Some((_server, home, _client, code)) = anna().await else { return };
    assert_eq!(home.run(&["send", &code, "one"]).await.ok(), "");
    assert_eq!(home.run(&["send", "High mountains", "two"]).await.ok(), "");
    assert_eq!(home.run_with_input("three\nof two lines\n", &["send", &code, "-"]).await.ok(), "");
    assert_eq!(home.run(&["send", &code, "-5"]).await.ok(), "");
    assert_eq!(home.run(&["send", &code, "--timeout", "9s", "--not a flag"]).await.ok(), "");

    // One id is one message, whichever run sends it and however the room is named.
    for room in [&code, "High mountains"] {
        assert_eq!(home.run(&["send", "--id", "ci-4711", room, "the build is green"]).await.ok(), "");
    }
    home.run(&["send", "--id", "ci-4711", &code, "something else"]).await.failed(1, "");
    assert_eq!(home.run(&["send", "--id", "", &code, "the build is green"]).await.code, 64);

    let exported = home.run(&["export", &code]).await.ok();
    let records: Vec<_> = exported.lines().map(json).collect();
    let printed: Vec<_> = records.iter().map(|it| (it["seq"].as_i64(), it["body"].as_str())).collect();
    assert_eq!(
        printed,
        [
            (Some(1), Some("one")),
            (Some(2), Some("two")),
            (Some(3), Some("three\nof two lines")),
            (Some(4), Some("-5")),
            (Some(5), Some("--not a flag")),
            (Some(6), Some("the build is green")),
        ]
    );
    assert!(records.iter().all(|it| it["type"] == "message" && it["user_name"] == "anna01"), "{exported}");

    let text = home.run(&["export", &code, "--format", "text"]).await.ok();
    assert!(text.contains(" anna01: one\n") && text.contains(": three\n    of two lines\n"), "{text}");

    let rooms = home.run(&["rooms", "--json"]).await.ok();
    assert_eq!(json(&rooms)["short_code"], code.as_str());
    let rooms = home.run(&["rooms"]).await.ok();
    assert_eq!(rooms, format!("{code}  High mountains (of anna01, 6 messages)\n"));
}

#[tokio::test]
async fn a_tail_survives_crashes_and_ends_with_its_reader() {
    let Some((mut server, home, _client, code)) = anna().await else { return };
    for body in ["one", "two", "three"] {
        home.run(&["send", &code, body]).await.ok();
    }
    let mut tail = home.command(&["tail", &code, "--json", "-n", "2"]).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    for expected in ["two", "three", "four", "five", "six"] {
        match expected {
            "four" => drop(home.run(&["send", &code, "four"]).await.ok()),
            "five" => {
                server.crash().await;
                home.run(&["send", &code, "five"]).await.ok();
            }
            "six" => {
                server.restart().await;
                home.run(&["send", &code, "six"]).await.ok();
            }
            _ => {}
        }
        let line = timeout(TIMEOUT, lines.next_line()).await.expect("it comes").unwrap().unwrap();
        assert_eq!(json(&line)["body"], expected);
    }
    // No more messages: only the closed pipe can end it.
    drop(lines);
    let mut printed = String::new();
    tail.stderr.take().unwrap().read_to_string(&mut printed).await.unwrap();
    assert!(printed.contains("connecting again") && !printed.contains("pipe"), "{printed}");
    assert_eq!(output_of(tail).await.code, 0);
}

#[tokio::test]
async fn a_guest_joins_by_an_invitation_or_the_password() {
    let Some((server, home, client, _code)) = anna().await else { return };
    let code = client.create_chat_room("Locked", "edelweiss").await.unwrap().short_code;
    server.user("ben001").await;
    let guest = Home::new();
    guest.log_in(&server.url, "ben001").await;
    guest.run(&["join", &code]).await.failed(77, "");
    guest.run_with_input("wrong", &["join", &code, "--password-stdin"]).await.failed(77, "");
    guest.run(&["invite", &code]).await.failed(77, "");
    assert_eq!(
        guest.run_with_input("edelweiss\n", &["join", &code, "--password-stdin"]).await.ok().trim(),
        code
    );
    guest.run(&["send", "Locked", "hello"]).await.ok();

    home.run(&["join", &code]).await.ok();
    let invitation = home.run(&["invite", "Locked", "--ttl", "1h"]).await.ok();
    server.user("carl01").await;
    let guest = Home::new();
    guest.log_in(&server.url, "carl01").await;
    assert_eq!(guest.run(&["join", invitation.trim()]).await.ok().trim(), code);
    assert!(guest.run(&["export", &code]).await.ok().contains("hello"));
}

#[tokio::test]
async fn each_failure_has_its_message_and_exit_code() {
    let Some((server, home, client, code)) = anna().await else { return };
    let wrong = home.run_with_input("Wrong-1!", &["login", &server.url, "anna01", "--password-stdin"]).await;
    wrong.failed(77, "");
    home.run(&["send", "nosuch", "hello"]).await.failed(66, "");
    home.run(&["tail", "no such room"]).await.failed(66, "no such room");
    home.run(&["export", "no such room"]).await.failed(66, "no such room");
    home.run(&["send", &code, &"x".repeat(5000)]).await.failed(64, "");
    let locked = server.user("ben001").await.create_chat_room("Locked", "edelweiss").await.unwrap();
    home.run(&["send", &locked.short_code, "hello"]).await.failed(77, "");
    let again = client.create_chat_room("High mountains", "").await.unwrap().short_code;
    home.run(&["send", "High mountains", "hello"]).await.failed(66, "several");
    home.run(&["send", &again, "hello"]).await.ok();
    let unknown = home.run(&["dance"]).await;
    assert_eq!((unknown.code, unknown.out.as_str()), (64, ""));

    let empty = home.run_with_input("\n", &["login", &server.url, "anna01", "--password-stdin"]).await;
    empty.failed(64, "no password in the input");
    home.run(&[]).await.failed(64, "needs a terminal");

    let refused =
        home.run_with_input(PASSWORD, &["login", UNREACHABLE_URL, "anna01", "--password-stdin"]).await;
    refused.failed(69, "cannot be reached: Connection refused");
    home.run(&["logout"]).await.ok();
    home.run(&["rooms"]).await.failed(77, "chatter login http://127.0.0.1:");
    home.log_in(&server.url, "anna01").await;
    drop(server);
    home.run(&["send", &code, "hello", "--timeout", "1s"]).await.failed(69, "cannot be reached");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_a_terminal_login_requires_password_stdin() {
    let Some((server, home, _client, _code)) = anna().await else { return };
    let login = [env!("CARGO_BIN_EXE_chatter"), "login", &server.url, "anna01"];
    // A new session has no controlling terminal.
    let mut alone = tokio::process::Command::new("setsid");
    alone.arg("--wait").args(login).env_clear().env("HOME", home.0.path());
    alone.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(alone) = alone.spawn() else { return };
    output_of(alone).await.failed(64, "use --password-stdin");
}

#[tokio::test]
async fn the_url_comes_from_the_flag_then_the_environment_then_the_last_login() {
    let Some((server, home, _client, _code)) = anna().await else { return };
    home.run(&["rooms"]).await.ok();
    let elsewhere =
        output_of(home.command(&["rooms"]).env("GRPCCHATTER_URL", UNREACHABLE_URL).spawn().unwrap()).await;
    elsewhere.failed(77, UNREACHABLE_URL);
    let named =
        home.command(&["rooms", "--url", &server.url]).env("GRPCCHATTER_URL", UNREACHABLE_URL).spawn();
    output_of(named.unwrap()).await.ok();
    // One server has one session, however its URL is typed.
    let typed = format!("{}/", server.url.replace("http", "HTTP"));
    home.run(&["rooms", "--url", &typed]).await.ok();
    let empty = home.command(&["rooms"]).env("GRPCCHATTER_URL", "").spawn();
    output_of(empty.unwrap()).await.ok();
    home.run(&["rooms", "--url", "chat.example"]).await.failed(64, "http://");
    Home::new().run(&["rooms"]).await.failed(78, "no server is known");
}

#[tokio::test]
async fn files_are_private_and_in_the_xdg_folders() {
    let Some((server, home, _client, _code)) = anna().await else { return };
    home.run(&["rooms"]).await.ok();
    let folders = [
        ".config/chatter",
        ".local/state/chatter",
        ".local/state/chatter/sessions",
        ".local/state/chatter/rooms",
    ];
    for folder in folders {
        let mode = fs::metadata(home.0.path().join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
    for (path, mode) in files(home.0.path()) {
        assert!(path.contains("/.config/chatter/") || path.contains("/.local/state/chatter/"), "{path}");
        assert_eq!(mode, 0o600, "{path}");
        assert!(!fs::read_to_string(&path).unwrap().contains(PASSWORD), "{path}");
    }
    let moved = Home::new();
    let folder = |name: &str| moved.0.path().join(name);
    let mut login = moved.command(&["login", &server.url, "anna01", "--password-stdin"]);
    login.env("XDG_CONFIG_HOME", folder("config")).env("XDG_STATE_HOME", folder("state"));
    let mut login = login.stdin(Stdio::piped()).spawn().unwrap();
    login.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).await.unwrap();
    output_of(login).await.ok();
    let paths: Vec<_> = files(moved.0.path()).into_iter().map(|(path, _)| path).collect();
    assert!(paths.iter().any(|path| path.ends_with("/config/chatter/settings.json")), "{paths:?}");
    assert!(paths.iter().any(|path| path.contains("/state/chatter/sessions/")), "{paths:?}");
    let homeless = home.command(&["rooms"]).env_remove("HOME").spawn().unwrap();
    output_of(homeless).await.failed(78, "HOME");
}

#[tokio::test]
async fn completions_and_manual_pages_name_every_command() {
    let home = Home::new();
    let commands = [
        "register",
        "login",
        "logout",
        "rooms",
        "create",
        "join",
        "leave",
        "users",
        "invite",
        "send",
        "tail",
        "export",
        "completions",
        "man",
    ];
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completions", shell]).await.ok();
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    let page = home.run(&["man"]).await.ok();
    assert!(page.contains(".TH chatter 1"), "{page}");
    assert!(commands.iter().all(|command| page.contains(command)), "{page}");
    let folder = home.0.path().join("pages");
    home.run(&["man", folder.to_str().unwrap()]).await.ok();
    for command in commands {
        let page = fs::read_to_string(folder.join(format!("chatter-{command}.1"))).unwrap();
        assert!(page.contains(".TH chatter"), "{page}");
    }
    let below_a_file = folder.join("chatter.1/pages");
    home.run(&["man", below_a_file.to_str().unwrap()]).await.failed(1, "pages: Not a directory");
    assert!(home.run(&["--help"]).await.ok().contains("Exit codes:"));
}
