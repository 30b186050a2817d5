//! The commands about one room: into it, out of it, who is in it, and what is said there.

use std::{
    io::{self, BufWriter, Write},
    time::Duration,
};

use grpcchatter_client::{Client, Error as ClientError, Room, new_message_id};
use jiff::tz::TimeZone;

use super::read_input;
use crate::{
    connect::Servers,
    exit::Error,
    invitation,
    memory::Memory,
    output::{self, Record},
    refused, text,
};

/// What the commands about one room work with.
pub(super) struct Rooms<'a> {
    client: &'a Client,
    timeout: Duration,
    memory: Memory,
}

impl<'a> Rooms<'a> {
    pub(super) async fn new(servers: &Servers, client: &'a Client) -> Result<Self, Error> {
        Ok(Self { client, timeout: servers.timeout, memory: servers.memory(client).await? })
    }

    /// Enters a room by its short code, or by the name of one of the caller's rooms.
    pub(super) async fn enter(&mut self, room: &str) -> Result<Room, Error> {
        let client = self.client;
        self.with_code(client, room, async |code| client.join(code, "").await).await
    }

    /// Does something with the short code of a room. Of one that is remembered as the caller's, it is the code that was
    /// given; else the list decides, where a name of one's own room goes before the code of a stranger's.
    async fn with_code<T>(
        &mut self,
        client: &Client,
        room: &str,
        act: impl AsyncFn(&str) -> Result<T, ClientError>,
    ) -> Result<T, Error> {
        if self.memory.knows(room) {
            match act(room).await {
                // It was deleted, or they were put out: the list knows.
                Err(error) if refused::no_such_room(&error) => {}
                done => return Ok(done?),
            }
        }
        let code = self.listed(client, room).await?.unwrap_or_else(|| room.to_owned());
        if !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Error::NoRoom(code));
        }
        let done = act(&code).await?;
        self.remember(&code);
        Ok(done)
    }

    /// The short code of the caller's room that has this short code or this name.
    async fn listed(&mut self, client: &Client, room: &str) -> Result<Option<String>, Error> {
        let mine = client.rooms().await?;
        // What is remembered saves a call, and no more.
        let _ = self.memory.set_rooms(mine.iter().map(|known| known.short_code.as_str()));
        if let Some(known) = mine.iter().find(|known| known.short_code == room) {
            return Ok(Some(known.short_code.clone()));
        }
        let mut named = mine.iter().filter(|known| known.name == room);
        match (named.next(), named.next()) {
            (Some(known), None) => Ok(Some(known.short_code.clone())),
            (Some(_), Some(_)) => Err(Error::ManyRooms(room.to_owned())),
            (None, _) => Ok(None),
        }
    }

    fn remember(&mut self, code: &str) {
        // As above.
        let _ = self.memory.add(code);
    }

    pub(super) async fn list(&mut self, json: bool) -> Result<(), Error> {
        let mine = self.client.rooms().await?;
        let _ = self.memory.set_rooms(mine.iter().map(|known| known.short_code.as_str()));
        let mut out = BufWriter::new(io::stdout().lock());
        for room in mine {
            if json {
                Record::from(&room).write(&mut out)?;
            } else {
                let (name, owner) = (text::one_line(&room.name), text::one_line(&room.owner_name));
                writeln!(out, "{}  {name} (of {owner}, {} messages)", room.short_code, room.last_seq)?;
            }
        }
        Ok(out.flush()?)
    }

    pub(super) async fn create(&mut self, name: &str, password_stdin: bool, json: bool) -> Result<(), Error> {
        if name.trim().is_empty() {
            return Err(Error::NoName);
        }
        let password = password_of_room(password_stdin).await?;
        let code = self.client.create_room(name, &password).await?.short_code;
        let room = self.client.join(&code, &password).await?.info();
        self.remember(&code);
        let mut out = io::stdout().lock();
        if json {
            return Ok(Record::from(&room).write(&mut out)?);
        }
        Ok(writeln!(out, "{code}")?)
    }

    pub(super) async fn join(&mut self, room: &str, password_stdin: bool) -> Result<(), Error> {
        let password = password_of_room(password_stdin).await?;
        let joined = match invitation::token(room, self.client.url()) {
            Some(token) => self.client.join_by_invitation(token?).await?,
            None => self.client.join(room, &password).await?,
        };
        let code = joined.info().short_code;
        self.remember(&code);
        Ok(writeln!(io::stdout(), "{code}")?)
    }

    /// Gives up a room that the caller is in; any other would have to be joined for it.
    pub(super) async fn leave(&mut self, room: &str, json: bool) -> Result<(), Error> {
        let code = self.listed(self.client, room).await?.ok_or_else(|| Error::NotIn(room.to_owned()))?;
        self.client.join(&code, "").await?.leave().await?;
        if json {
            Record::Left { short_code: &code }.write(&mut io::stdout().lock())?;
        }
        Ok(())
    }

    pub(super) async fn users(&mut self, room: &str, json: bool) -> Result<(), Error> {
        let users = self.enter(room).await?.users().await?;
        let zone = TimeZone::system();
        let mut out = BufWriter::new(io::stdout().lock());
        for user in users {
            if json {
                Record::from(&user).write(&mut out)?;
            } else {
                let since = output::minute(user.online_since, &zone);
                writeln!(out, "{}  (since {since})", text::one_line(&user.name))?;
            }
        }
        Ok(out.flush()?)
    }

    /// Says something: two calls where the room is known, as nothing is read there.
    pub(super) async fn send(&mut self, room: &str, id: Option<String>, text: String) -> Result<(), Error> {
        let text = match text.as_str() {
            "-" => read_input().await?,
            _ => text,
        };
        if text.trim().is_empty() {
            return Err(Error::NothingToSend);
        }
        let id = &id.unwrap_or_else(new_message_id);
        let client = &self.client.within(self.timeout);
        let send = async |code: &str| client.join_and_send_with_id(code, id, &text).await;
        match self.with_code(client, room, send).await {
            Err(Error::Client(source @ ClientError::Unacknowledged { .. })) => {
                Err(Error::MayBeStored { id: id.clone(), source })
            }
            sent => sent.map(drop),
        }
    }
}

async fn password_of_room(in_input: bool) -> Result<String, Error> {
    if in_input { read_input().await } else { Ok(String::new()) }
}
