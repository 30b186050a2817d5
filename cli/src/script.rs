//! The commands that print and end: for scripts, and for setting things up.

use std::{
    io::{self, BufWriter, Read as _, Write},
    pin::pin,
};

use grpcchatter_client::{Client, Error as ClientError, Event, Room, Start};
use jiff::tz::TimeZone;
use tokio::task::spawn_blocking;

use crate::{
    args::{Account, Command, Format},
    exit::Error,
    output::{self, Record},
    pipe,
    settings::Folders,
    text,
};

/// As many messages as the server puts on one page.
const PAGE: u16 = 200;

pub(crate) async fn run(client: &Client, folders: &Folders, command: Command) -> Result<(), Error> {
    match command {
        Command::Register(account) => {
            let password = password(&account).await?;
            client.register(&account.user, &password).await?;
            client.login(&account.user, &password).await?;
            folders.set_url(client.url())
        }
        Command::Login(account) => {
            client.login(&account.user, &password(&account).await?).await?;
            folders.set_url(client.url())
        }
        Command::Logout => Ok(client.logout().await?),
        Command::Rooms { json } => rooms(client, json).await,
        Command::Join { room, password_stdin } => join(client, &room, password_stdin).await,
        Command::Invite { room, ttl } => {
            let code = enter(client, &room).await?.info().short_code;
            let invitation = client.invite(&code, Some(ttl)).await?;
            Ok(writeln!(io::stdout(), "{}", invitation.token)?)
        }
        Command::Send { room, text } => send(client, &room, text).await,
        Command::Tail { room, lines, json } => tail(client, &room, lines, json).await,
        Command::Export { room, format } => export(client, &room, format).await,
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}

async fn password(account: &Account) -> Result<String, Error> {
    if account.password_stdin {
        return read_input().await;
    }
    let question = format!("Password of {}: ", text::one_line(&account.user));
    Ok(spawn_blocking(move || rpassword::prompt_password(question)).await.map_err(io::Error::other)??)
}

/// The whole input, without the end of its last line.
async fn read_input() -> Result<String, Error> {
    let read = spawn_blocking(|| {
        let mut input = String::new();
        io::stdin().read_to_string(&mut input).map(|_| input)
    });
    Ok(read.await.map_err(io::Error::other)??.trim_end_matches(['\r', '\n']).to_owned())
}

async fn rooms(client: &Client, json: bool) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    for room in client.list_chat_rooms().await? {
        if json {
            Record::from(&room).write(&mut out)?;
        } else {
            let (name, owner) = (text::one_line(&room.name), text::one_line(&room.owner_name));
            writeln!(out, "{}  {name} (of {owner}, {} messages)", room.short_code, room.last_seq)?;
        }
    }
    Ok(out.flush()?)
}

/// Enters a room by the name of one of the caller's rooms, or by its short code.
async fn enter(client: &Client, room: &str) -> Result<Room, Error> {
    let mine = client.list_chat_rooms().await?;
    if !mine.iter().any(|known| known.short_code == room) {
        let mut named = mine.iter().filter(|known| known.name == room);
        match (named.next(), named.next()) {
            (Some(known), None) => return Ok(client.join_chat_room(&known.short_code, "").await?),
            (Some(_), Some(_)) => return Err(Error::ManyRooms(room.to_owned())),
            (None, _) if !room.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                return Err(Error::NoRoom(room.to_owned()));
            }
            (None, _) => {}
        }
    }
    Ok(client.join_chat_room(room, "").await?)
}

async fn join(client: &Client, room: &str, password_stdin: bool) -> Result<(), Error> {
    let password = if password_stdin { read_input().await? } else { String::new() };
    let joined = match room.contains('.') {
        // A token has dots in it; a short code is letters and digits.
        true => client.join_by_invitation(room).await?,
        false => client.join_chat_room(room, &password).await?,
    };
    Ok(writeln!(io::stdout(), "{}", joined.info().short_code)?)
}

async fn send(client: &Client, room: &str, text: String) -> Result<(), Error> {
    let text = match text.as_str() {
        "-" => read_input().await?,
        _ => text,
    };
    enter(client, room).await?.send(&text).await?;
    Ok(())
}

async fn tail(client: &Client, room: &str, lines: u16, json: bool) -> Result<(), Error> {
    let room = enter(client, room).await?;
    let mut events = room.events_from(if lines == 0 { Start::Joined } else { Start::Last(lines) });
    let zone = TimeZone::system();
    let mut reader = pin!(pipe::reader_gone());
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = &mut reader => return Ok(()),
        };
        let Some(event) = event else { return Ok(()) };
        let mut out = io::stdout().lock();
        match event {
            Event::Message(message) if json => Record::from(&message).write(&mut out)?,
            Event::Message(message) => output::write_text(&mut out, &message, &zone)?,
            Event::Reset { last_seq } if json => Record::Reset { last_seq }.write(&mut out)?,
            Event::Reset { .. } => note("the room's log was reset")?,
            Event::Reconnecting { cause, .. } => note(&format!("{cause}; connecting again"))?,
            Event::Closed(why) => return Err(ClientError::from(why).into()),
            _ => {}
        }
        out.flush()?;
    }
}

/// Tells something that is not part of the output.
fn note(text: &str) -> Result<(), Error> {
    Ok(writeln!(io::stderr(), "chatter: {}", text::one_line(text))?)
}

async fn export(client: &Client, room: &str, format: Format) -> Result<(), Error> {
    let room = enter(client, room).await?;
    let zone = TimeZone::system();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut seq = 0;
    loop {
        let page = room.messages_after(seq, PAGE).await?;
        for message in &page.messages {
            match format {
                Format::Json => Record::from(message).write(&mut out)?,
                Format::Text => output::write_text(&mut out, message, &zone)?,
            }
            seq = message.seq;
        }
        if !page.more {
            return Ok(out.flush()?);
        }
    }
}
