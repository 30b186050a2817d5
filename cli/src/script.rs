//! The commands that print and end: for scripts, and for setting things up.

mod account;
mod log;
mod room;

use std::io::{self, Read as _, Write as _};

use grpcchatter_client::Client;
use tokio::task::spawn_blocking;

use self::{log::Begin, room::Rooms};
use crate::{args::Command, connect::Servers, exit::Error, invitation};

pub(crate) async fn run(servers: &Servers, client: &Client, command: Command) -> Result<(), Error> {
    match command {
        Command::Register(it) => account::register(servers, client, &it).await,
        Command::Login(it) => account::login(servers, client, &it).await,
        Command::Logout => Ok(client.logout().await?),
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
        in_rooms => run_in_rooms(client, Rooms::new(servers, client).await?, in_rooms).await,
    }
}

async fn run_in_rooms(client: &Client, mut rooms: Rooms<'_>, command: Command) -> Result<(), Error> {
    match command {
        Command::Create { name, password_stdin, json } => rooms.create(&name, password_stdin, json).await,
        Command::Join { room, password_stdin } => rooms.join(&room, password_stdin).await,
        Command::Leave { room, json } => rooms.leave(&room, json).await,
        Command::Users { room, json } => rooms.users(&room, json).await,
        Command::Send { id, room, text } => rooms.send(&room, id, text).await,
        Command::Invite { room, ttl, link } => {
            let code = rooms.enter(&room).await?.info().short_code;
            let token = client.invite(&code, Some(ttl)).await?.token;
            let shown = if link { invitation::link(client.url(), &token) } else { token };
            Ok(writeln!(io::stdout(), "{shown}")?)
        }
        Command::Tail { room, lines, after, json } => {
            let begin = after.map_or(Begin::Last(lines), Begin::After);
            log::tail(&rooms.enter(&room).await?, begin, json).await
        }
        Command::Export { room, format } => log::export(&rooms.enter(&room).await?, format).await,
        Command::Rooms { json } => rooms.list(json).await,
        // The others are about no room.
        Command::Register(_)
        | Command::Login(_)
        | Command::Logout
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

/// The whole input, without the end of its last line.
async fn read_input() -> Result<String, Error> {
    let read = spawn_blocking(|| {
        let mut input = String::new();
        io::stdin().read_to_string(&mut input).map(|_| input)
    });
    Ok(read.await.map_err(io::Error::other)??.trim_end_matches(['\r', '\n']).to_owned())
}
