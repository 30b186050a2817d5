//! The calls of [`crate::Client`].

use std::{sync::Arc, time::Duration};

use super::{Client, Room, Thread};
use crate::{Account, ClientBuilder, Error, Invitation, Message, RoomInfo};

impl Client {
    /// As [`crate::Client::new_at`].
    ///
    /// # Errors
    /// [`Error::InvalidUrl`].
    ///
    /// ```no_run
    /// use grpcchatter_client::blocking::Client;
    ///
    /// # fn run() -> Result<(), grpcchatter_client::Error> {
    /// let client = Client::new_at("http://localhost:8080")?;
    /// assert_eq!(client.url(), "http://localhost:8080");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new_at(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).build_blocking()
    }

    /// As [`crate::Client::builder`]; ends with [`ClientBuilder::build_blocking`].
    ///
    /// ```no_run
    /// use grpcchatter_client::blocking::Client;
    ///
    /// # fn run() -> Result<(), grpcchatter_client::Error> {
    /// let builder = Client::builder("http://localhost:8080");
    /// let client = builder.send_timeout(std::time::Duration::from_secs(10)).build_blocking()?;
    /// # let _ = client;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        crate::Client::builder(url)
    }

    pub(crate) fn start(client: crate::Client) -> Result<Self, Error> {
        Ok(Self { client, thread: Thread::start()? })
    }

    /// As [`crate::Client::url`].
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) {
    /// println!("this talks to {}", client.url());
    /// # }
    /// ```
    #[must_use]
    pub fn url(&self) -> &str {
        self.client.url()
    }

    /// As [`crate::Client::within`].
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        Self { thread: Arc::clone(&self.thread), client: self.client.within(time) }
    }

    /// As [`crate::Client::register`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// let account = client.register("walker1", "Secret-1!")?;
    /// println!("account number {}", account.id);
    /// # Ok(())
    /// # }
    /// ```
    pub fn register(&self, user_name: &str, password: &str) -> Result<Account, Error> {
        self.thread.wait(self.client.register(user_name, password))
    }

    /// As [`crate::Client::login`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.login("walker1", "Secret-1!")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn login(&self, user_name: &str, password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.login(user_name, password))
    }

    /// As [`crate::Client::login_if_needed`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.login_if_needed("echobot1", "Secret-1!")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn login_if_needed(&self, user_name: &str, password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.login_if_needed(user_name, password))
    }

    /// As [`crate::Client::logout`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.logout()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn logout(&self) -> Result<(), Error> {
        self.thread.wait(self.client.logout())
    }

    /// As [`crate::Client::user_name`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// println!("you are {}", client.user_name()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn user_name(&self) -> Result<String, Error> {
        self.thread.wait(self.client.user_name())
    }

    /// As [`crate::Client::account`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// println!("account number {}", client.account()?.id);
    /// # Ok(())
    /// # }
    /// ```
    pub fn account(&self) -> Result<Account, Error> {
        self.thread.wait(self.client.account())
    }

    /// As [`crate::Client::change_password`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.change_password("Secret-1!", "Better-Secret-2!")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn change_password(&self, password: &str, new_password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.change_password(password, new_password))
    }

    /// As [`crate::Client::delete_account`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.delete_account("Secret-1!")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_account(&self, password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.delete_account(password))
    }

    /// As [`crate::Client::create_room`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.create_room("Mountains", "edelweiss")?;
    /// println!("tell your friends: {}", room.short_code);
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_room(&self, name: &str, password: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.create_room(name, password))
    }

    /// As [`crate::Client::rename_room`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.rename_room("aB3xYz", "High mountains")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_room(&self, short_code: &str, name: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.rename_room(short_code, name))
    }

    /// As [`crate::Client::change_room_password`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.change_room_password("aB3xYz", "gentian")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn change_room_password(&self, short_code: &str, password: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.change_room_password(short_code, password))
    }

    /// As [`crate::Client::delete_room`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.delete_room("aB3xYz")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_room(&self, short_code: &str) -> Result<(), Error> {
        self.thread.wait(self.client.delete_room(short_code))
    }

    /// As [`crate::Client::rooms`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// for room in client.rooms()? {
    ///     println!("{} {}", room.short_code, room.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        self.thread.wait(self.client.rooms())
    }

    /// As [`crate::Client::invite`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// println!("show this to join: {}", client.invite("aB3xYz", None)?.token);
    /// # Ok(())
    /// # }
    /// ```
    pub fn invite(&self, short_code: &str, ttl: Option<Duration>) -> Result<Invitation, Error> {
        self.thread.wait(self.client.invite(short_code, ttl))
    }

    /// As [`crate::Client::remove_user`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.remove_user("aB3xYz", "troll99")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.remove_user(short_code, user_name))
    }

    /// As [`crate::Client::ban_user`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.ban_user("aB3xYz", "troll99")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.ban_user(short_code, user_name))
    }

    /// As [`crate::Client::unban_user`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.unban_user("aB3xYz", "troll99")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn unban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.unban_user(short_code, user_name))
    }

    /// As [`crate::Client::join`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.join("aB3xYz", "edelweiss")?;
    /// println!("{} of {}", room.info().name, room.info().owner_name);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join(&self, short_code: &str, password: &str) -> Result<Room, Error> {
        let room = self.thread.wait(self.client.join(short_code, password))?;
        Ok(Room { thread: Arc::clone(&self.thread), room })
    }

    /// As [`crate::Client::join_by_invitation`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// let invitation = client.invite("aB3xYz", None)?;
    /// let room = client.join_by_invitation(&invitation.token)?;
    /// # let _ = room;
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_by_invitation(&self, token: &str) -> Result<Room, Error> {
        let room = self.thread.wait(self.client.join_by_invitation(token))?;
        Ok(Room { thread: Arc::clone(&self.thread), room })
    }

    /// As [`crate::Client::join_and_send`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.join_and_send("aB3xYz", "the build is green")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_and_send(&self, short_code: &str, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.client.join_and_send(short_code, body))
    }

    /// As [`crate::Client::join_and_send_with_id`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.join_and_send_with_id("aB3xYz", "build-4711", "it is green")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_and_send_with_id(&self, short_code: &str, id: &str, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.client.join_and_send_with_id(short_code, id, body))
    }

    /// As [`crate::Client::disconnect`]: what other threads wait for ends at once.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) {
    /// client.disconnect();
    /// # }
    /// ```
    pub fn disconnect(&self) {
        self.client.disconnect();
    }
}
