//! The commands that print and exit.

mod account;
mod log;
mod room;

use std::io::{self, Read as _, Write as _};

use grpcchatter_client::Client;
use tokio::task::spawn_blocking;

use self::{
    log::TailStart,
    room::{RoomPassword, Rooms},
};
use crate::{
    args::{Command, Format},
    client_factory::ClientFactory,
    exit::Error,
    invitation,
};

pub(crate) async fn run(factory: &ClientFactory, client: &Client, command: Command) -> Result<(), Error> {
    match command {
        Command::Register(it) => account::register(factory, client, &it).await,
        Command::Login(it) => account::login(factory, client, &it).await,
        Command::Logout => Ok(client.logout().await?),
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
        in_rooms => run_in_rooms(client, Rooms::new(factory, client).await?, in_rooms).await,
    }
}

async fn run_in_rooms(client: &Client, mut rooms: Rooms<'_>, command: Command) -> Result<(), Error> {
    match command {
        Command::Create { name, password_stdin, json } => {
            rooms.create(&name, RoomPassword::of(password_stdin), Format::of(json)).await
        }
        Command::Join { room, password_stdin } => rooms.join(&room, RoomPassword::of(password_stdin)).await,
        Command::Leave { room, json } => rooms.leave(&room, Format::of(json)).await,
        Command::Users { room, json } => rooms.users(&room, Format::of(json)).await,
        Command::Send { id, room, text } => rooms.send(&room, id, text).await,
        Command::Invite { room, ttl, link } => {
            let code = rooms.open(&room).await?.info().short_code;
            let token = client.invite(&code, Some(ttl)).await?.token;
            let shown = if link { invitation::link(client.url(), &token) } else { token };
            Ok(writeln!(io::stdout(), "{shown}")?)
        }
        Command::Tail { room, lines, after, json } => {
            let start = after.map_or(TailStart::Last(lines), TailStart::After);
            log::tail(&rooms.open(&room).await?, start, Format::of(json)).await
        }
        Command::Export { room, format } => log::export(&rooms.open(&room).await?, format).await,
        Command::Rooms { json } => rooms.list(Format::of(json)).await,
        // Not about a room: handled by `run`.
        Command::Register(_)
        | Command::Login(_)
        | Command::Logout
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

/// All of standard input without its trailing line break.
async fn read_input() -> Result<String, Error> {
    let read = spawn_blocking(|| {
        let mut input = String::new();
        io::stdin().read_to_string(&mut input).map(|_| input)
    });
    Ok(read.await.map_err(io::Error::other)??.trim_end_matches(['\r', '\n']).to_owned())
}
