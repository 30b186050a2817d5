//! The original's menu and chat in the terminal, on top of the client library.
//!
//! `cargo run -p client_cli -- http://localhost:8080`

use std::{
    env, fmt,
    io::{self, Write as _},
};

use anyhow::{Context as _, Result};
use grpcchatter_client::{Client, Event, Room};
use tokio::task::{JoinHandle, spawn_blocking};

const MENU: &str = "
1. Register
2. Log in
3. Create a chat room
4. Delete a chat room
5. Join a chat room
6. Quit
";

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "http://localhost:8080".to_owned());
    let client = Client::new_at(url)?;
    let mut keyboard = Keyboard::default();
    loop {
        show(format_args!("{MENU}"))?;
        let done = match keyboard.ask("Your choice").await?.as_str() {
            "1" => register(&client, &mut keyboard).await,
            "2" => log_in(&client, &mut keyboard).await,
            "3" => create(&client, &mut keyboard).await,
            "4" => delete(&client, &mut keyboard).await,
            "5" => join(&client, &mut keyboard).await,
            "6" => break,
            other => show(format_args!("There is no {other:?} in the menu.\n")),
        };
        if let Err(error) = done {
            show(format_args!("That did not work: {}\n", printable(&format!("{error:#}"))))?;
        }
    }
    client.disconnect();
    Ok(())
}

async fn register(client: &Client, keyboard: &mut Keyboard) -> Result<()> {
    let (user_name, password) = (keyboard.ask("User name").await?, ask_hidden("Password").await?);
    let account = client.register(&user_name, &password).await?;
    show(format_args!("Welcome, {}. Log in next.\n", printable(&account.user_name)))
}

async fn log_in(client: &Client, keyboard: &mut Keyboard) -> Result<()> {
    let (user_name, password) = (keyboard.ask("User name").await?, ask_hidden("Password").await?);
    client.login(&user_name, &password).await?;
    show(format_args!("You are logged in.\n"))
}

async fn create(client: &Client, keyboard: &mut Keyboard) -> Result<()> {
    let (name, password) = (keyboard.ask("Name of the room").await?, ask_hidden("Its password").await?);
    let room = client.create_chat_room(&name, &password).await?;
    show(format_args!("Tell your friends its short code: {}\n", printable(&room.short_code)))
}

async fn delete(client: &Client, keyboard: &mut Keyboard) -> Result<()> {
    client.delete_chat_room(&keyboard.ask("Short code").await?).await?;
    show(format_args!("The room is gone.\n"))
}

async fn join(client: &Client, keyboard: &mut Keyboard) -> Result<()> {
    let (code, password) = (keyboard.ask("Short code").await?, ask_hidden("Password").await?);
    let room = client.join_chat_room(&code, &password).await?;
    let users = room.list_chat_room_users().await?;
    let names: Vec<_> = users.iter().map(|user| printable(&user.name)).collect();
    let (name, names) = (printable(&room.info().name), names.join(", "));
    show(format_args!("{name}: {names}\nSay something; an empty line leaves.\n"))?;
    let mut reader = tokio::spawn(print_events(room.clone(), client.user_name().await?));
    let sent = tokio::select! {
        sent = send_lines(&room, keyboard) => sent,
        // The room was closed: the next line is for the menu.
        done = &mut reader => return done?,
    };
    // Ends the reader at once, even in a quiet room.
    room.disconnect();
    reader.await??;
    sent
}

/// Sends line by line until one is empty.
async fn send_lines(room: &Room, keyboard: &mut Keyboard) -> Result<()> {
    loop {
        let line = keyboard.line().await?;
        if line.is_empty() {
            return Ok(());
        }
        if let Err(error) = room.send(&line).await {
            show(format_args!("Not sent: {}\n", printable(&error.to_string())))?;
        }
    }
}

/// Prints the events of the room until it is closed.
async fn print_events(room: Room, me: String) -> Result<()> {
    let mut events = room.events();
    while let Some(event) = events.recv().await {
        match event {
            Event::Message(message) if !message.is_own => {
                show(format_args!("{}: {}\n", printable(&message.user_name), printable(&message.body)))?;
            }
            Event::Came(user) if user.name != me => show(format_args!("{} came.\n", printable(&user.name)))?,
            Event::Left(name) => show(format_args!("{} left.\n", printable(&name)))?,
            Event::Reconnecting { cause, .. } => {
                show(format_args!("Connecting again: {}\n", printable(&cause.to_string())))?;
            }
            Event::Resumed => show(format_args!("Connected again.\n"))?,
            Event::Reset { .. } => show(format_args!("The room's log was reset.\n"))?,
            Event::Closed(why) => {
                show(format_args!("The chat is over: {}.\n", printable(&why.to_string())))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Text of other users must not control the terminal or reorder its lines.
fn printable(text: &str) -> String {
    let steers = |c: &char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !steers(c)).collect()
}

fn show(text: fmt::Arguments<'_>) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(text)?;
    Ok(out.flush()?)
}

async fn ask_hidden(question: &'static str) -> Result<String> {
    Ok(spawn_blocking(move || rpassword::prompt_password(format!("{question}: "))).await??)
}

/// Reads lines in blocking threads, so that the room's events are shown meanwhile. A blocking read cannot be
/// cancelled: an abandoned one serves the next question.
#[derive(Default)]
struct Keyboard {
    reading: Option<JoinHandle<Result<String>>>,
}

impl Keyboard {
    async fn ask(&mut self, question: &str) -> Result<String> {
        show(format_args!("{question}: "))?;
        self.line().await
    }

    async fn line(&mut self) -> Result<String> {
        let reading = self.reading.get_or_insert_with(|| {
            spawn_blocking(|| {
                let mut line = String::new();
                let read = io::stdin().read_line(&mut line)?;
                (read > 0).then(|| line.trim().to_owned()).context("the input has ended")
            })
        });
        let line = reading.await;
        self.reading = None;
        line?
    }
}
