//! The commands about rooms: list, create, join, leave, send, and who is present.

use std::{
    io::{self, BufWriter, Write},
    time::Duration,
};

use grpcchatter_client::{Client, Error as ClientError, Room, new_message_id};
use jiff::tz::TimeZone;

use super::read_input;
use crate::{
    args::Format,
    client_factory::ClientFactory,
    exit::Error,
    invitation,
    output::{self, Record},
    reasons,
    room_cache::RoomCache,
    text,
};

/// Where a room's password comes from.
pub(super) enum RoomPassword {
    None,
    Stdin,
}

impl RoomPassword {
    /// The source that the flag `--password-stdin` selects.
    pub(super) fn of(password_stdin: bool) -> Self {
        if password_stdin { Self::Stdin } else { Self::None }
    }

    async fn read(self) -> Result<String, Error> {
        match self {
            Self::None => Ok(String::new()),
            Self::Stdin => read_input().await,
        }
    }
}

/// The state of the room commands.
pub(super) struct Rooms<'a> {
    client: &'a Client,
    timeout: Duration,
    room_cache: RoomCache,
}

impl<'a> Rooms<'a> {
    pub(super) async fn new(factory: &ClientFactory, client: &'a Client) -> Result<Self, Error> {
        Ok(Self { client, timeout: factory.timeout, room_cache: factory.room_cache(client).await? })
    }

    /// Joins a room by its short code or by the name of one of the user's rooms.
    pub(super) async fn open(&mut self, room: &str) -> Result<Room, Error> {
        let client = self.client;
        self.with_short_code(client, room, async |code| client.join(code, "").await).await
    }

    /// Calls `act` with the short code of a room. A cached short code is used directly. Otherwise the list decides:
    /// the name of one of the user's rooms takes precedence over the code of another's.
    async fn with_short_code<T>(
        &mut self,
        client: &Client,
        room: &str,
        act: impl AsyncFn(&str) -> Result<T, ClientError>,
    ) -> Result<T, Error> {
        if self.room_cache.contains(room) {
            match act(room).await {
                // It was deleted, or the user was removed: ask the list.
                Err(error) if reasons::is_no_such_room(&error) => {}
                done => return Ok(done?),
            }
        }
        let code = self.find_short_code(client, room).await?.unwrap_or_else(|| room.to_owned());
        if !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Error::NoRoom(code));
        }
        let done = act(&code).await?;
        self.cache(&code);
        Ok(done)
    }

    /// The short code of the user's room with this short code or name.
    async fn find_short_code(&mut self, client: &Client, room: &str) -> Result<Option<String>, Error> {
        let mine = client.rooms().await?;
        // A failed write of the cache costs a call later, nothing else.
        let _ = self.room_cache.set_rooms(mine.iter().map(|known| known.short_code.as_str()));
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

    fn cache(&mut self, code: &str) {
        // As above.
        let _ = self.room_cache.add(code);
    }

    pub(super) async fn list(&mut self, format: Format) -> Result<(), Error> {
        let mine = self.client.rooms().await?;
        let _ = self.room_cache.set_rooms(mine.iter().map(|known| known.short_code.as_str()));
        let mut out = BufWriter::new(io::stdout().lock());
        for room in mine {
            match format {
                Format::Json => Record::from(&room).write(&mut out)?,
                Format::Text => {
                    let (name, owner) = (text::one_line(&room.name), text::one_line(&room.owner_name));
                    writeln!(out, "{}  {name} (of {owner}, {} messages)", room.short_code, room.last_seq)?;
                }
            }
        }
        Ok(out.flush()?)
    }

    pub(super) async fn create(
        &mut self,
        name: &str,
        password: RoomPassword,
        format: Format,
    ) -> Result<(), Error> {
        if name.trim().is_empty() {
            return Err(Error::NoName);
        }
        let password = password.read().await?;
        let code = self.client.create_room(name, &password).await?.short_code;
        let room = self.client.join(&code, &password).await?.info();
        self.cache(&code);
        let mut out = io::stdout().lock();
        match format {
            Format::Json => Record::from(&room).write(&mut out)?,
            Format::Text => writeln!(out, "{code}")?,
        }
        Ok(())
    }

    pub(super) async fn join(&mut self, room: &str, password: RoomPassword) -> Result<(), Error> {
        let password = password.read().await?;
        let joined = match invitation::token(room, self.client.url()) {
            Some(token) => self.client.join_by_invitation(token?).await?,
            None => self.client.join(room, &password).await?,
        };
        let code = joined.info().short_code;
        self.cache(&code);
        Ok(writeln!(io::stdout(), "{code}")?)
    }

    /// Leaves a room of the user's. Any other would have to be joined first.
    pub(super) async fn leave(&mut self, room: &str, format: Format) -> Result<(), Error> {
        let code =
            self.find_short_code(self.client, room).await?.ok_or_else(|| Error::NotIn(room.to_owned()))?;
        self.client.join(&code, "").await?.leave().await?;
        if format == Format::Json {
            Record::Left { short_code: &code }.write(&mut io::stdout().lock())?;
        }
        Ok(())
    }

    pub(super) async fn users(&mut self, room: &str, format: Format) -> Result<(), Error> {
        let users = self.open(room).await?.users().await?;
        let zone = TimeZone::system();
        let mut out = BufWriter::new(io::stdout().lock());
        for user in users {
            match format {
                Format::Json => Record::from(&user).write(&mut out)?,
                Format::Text => {
                    let since = output::format_time(user.online_since, &zone);
                    writeln!(out, "{}  (since {since})", text::one_line(&user.name))?;
                }
            }
        }
        Ok(out.flush()?)
    }

    /// Sends a message: two calls if the room is cached, since nothing is read there.
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
        match self.with_short_code(client, room, send).await {
            Err(Error::Client(source @ ClientError::Unacknowledged { .. })) => {
                Err(Error::MayBeStored { id: id.clone(), source })
            }
            sent => sent.map(drop),
        }
    }
}
