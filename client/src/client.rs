//! The client: its server, its session, its account.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Account, ClientBuilder, Error, patience::end_after, session::Sessions, transport::Transport};

/// A person's way to one server. Clones share the connection and the session.
///
/// ```no_run
/// use grpcchatter_client::Client;
///
/// # async fn run() -> Result<(), grpcchatter_client::Error> {
/// let client = Client::new_at("http://localhost:8080")?;
/// client.login("walker1", "Secret-1!").await?;
/// let made = client.create_room("Mountains", "").await?;
/// let room = client.join(&made.short_code, "").await?;
/// let message = room.send("good morning").await?;
/// println!("stored as number {}", message.seq);
/// client.disconnect();
/// # Ok(())
/// # }
/// ```
///
/// Calls that only read, and joining, are tried again by themselves where that is safe and may help
/// ([`Error::is_retryable`]), within [`ClientBuilder::send_timeout`]. Those that make or end something are
/// tried once: [`Error::is_retryable`] then leaves the decision to the caller.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) transport: Arc<Transport>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) url: String,
    pub(crate) patience: Duration,
    /// When everything is given up, for a handle that has one end for all of its calls.
    pub(crate) last: Option<Instant>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.inner.url).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Registration<'a> {
    user_name: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct PasswordChange<'a> {
    password: &'a str,
    new_password: &'a str,
}

#[derive(Serialize)]
struct Farewell<'a> {
    password: &'a str,
}

#[derive(Deserialize)]
struct AccountAnswer {
    id: i64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: time::OffsetDateTime,
    user_name: String,
}

impl From<AccountAnswer> for Account {
    fn from(answer: AccountAnswer) -> Self {
        Self { id: answer.id, user_name: answer.user_name, created_at: SystemTime::from(answer.created_at) }
    }
}

impl Client {
    pub(crate) fn new(
        transport: Arc<Transport>,
        sessions: Arc<Sessions>,
        url: String,
        patience: Duration,
    ) -> Self {
        Self { inner: Arc::new(Inner { transport, sessions, url, patience, last: None }) }
    }

    /// A client of the server at `url`, with the defaults of [`ClientBuilder`]. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`].
    ///
    /// ```
    /// let client = grpcchatter_client::Client::new_at("http://localhost:8080")?;
    /// # let _ = client;
    /// # Ok::<(), grpcchatter_client::Error>(())
    /// ```
    pub fn new_at(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// A builder for a client of the server at `url`.
    ///
    /// ```
    /// let builder = grpcchatter_client::Client::builder("http://localhost:8080");
    /// # let _ = builder;
    /// ```
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    /// The server's URL.
    ///
    /// ```
    /// # let client = grpcchatter_client::Client::new_at("http://localhost:8080/")?;
    /// assert_eq!(client.url(), "http://localhost:8080");
    /// # Ok::<(), grpcchatter_client::Error>(())
    /// ```
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The same client with one end for all that is done by this handle and the rooms that it joins, instead of
    /// [`ClientBuilder::send_timeout`] for each call: `time` from now. For programs that make several calls and have
    /// to end in time.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let client = client.within(std::time::Duration::from_secs(10));
    /// let rooms = client.rooms().await?;
    /// client.join_and_send(&rooms[0].short_code, "the build is green").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        let Inner { transport, sessions, url, patience, .. } = &*self.inner;
        let (transport, sessions) = (Arc::clone(transport), Arc::clone(sessions));
        let last = Some(end_after(time));
        Self { inner: Arc::new(Inner { transport, sessions, url: url.clone(), patience: *patience, last }) }
    }

    /// Makes an account. Log in next.
    ///
    /// # Errors
    /// A refusal with [`Reason::InvalidUserName`](crate::Reason::InvalidUserName),
    /// [`Reason::InvalidPassword`](crate::Reason::InvalidPassword) or
    /// [`Reason::UserNameTaken`](crate::Reason::UserNameTaken).
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let account = client.register("walker1", "Secret-1!").await?;
    /// assert_eq!(account.user_name, "walker1");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn register(&self, user_name: &str, password: &str) -> Result<Account, Error> {
        let body = Registration { user_name, password };
        let answer: AccountAnswer =
            self.inner.transport.rest(Method::POST, "/register", None, Some(&body)).await?;
        Ok(answer.into())
    }

    /// Begins a session, which renews itself from then on.
    ///
    /// # Errors
    /// A refusal with [`Reason::InvalidCredentials`](crate::Reason::InvalidCredentials).
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.login("walker1", "Secret-1!").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn login(&self, user_name: &str, password: &str) -> Result<(), Error> {
        self.inner.sessions.login(user_name, password).await
    }

    /// Goes on with the session of this user where there is one, from [`ClientBuilder::session_file`] as well, and begins
    /// one where there is none or it has ended. For programs that run without anybody beside them.
    ///
    /// It asks the server once, and is tried again by itself like the calls that only read.
    ///
    /// # Errors
    /// As [`Client::login`].
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), grpcchatter_client::Error> {
    /// use grpcchatter_client::Client;
    ///
    /// let client = Client::builder("http://localhost:8080").session_file("bot.json").build()?;
    /// client.login_if_needed("echobot1", "Secret-1!").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn login_if_needed(&self, user_name: &str, password: &str) -> Result<(), Error> {
        let sessions = &self.inner.sessions;
        let ended = match sessions.current().await {
            Ok(session) if session.is_of(user_name) => self.account().await.err(),
            Ok(_) => Some(Error::NotLoggedIn),
            Err(error) => Some(error),
        };
        match ended {
            None => Ok(()),
            Some(Error::NotLoggedIn) => {
                self.inner.patiently(self.inner.end(), || sessions.login(user_name, password)).await
            }
            Some(error) => Err(error),
        }
    }

    /// Ends the session: its tokens and its open streams, here and on the server. One that has ended there already
    /// is forgotten here.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`] where there is none; another where the server could not be told: the session is then
    /// kept, so that it can be ended later.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.logout().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn logout(&self) -> Result<(), Error> {
        self.inner.sessions.logout().await
    }

    /// Who is logged in; asks no server, so the session may have ended there.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// println!("you are {}", client.user_name().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn user_name(&self) -> Result<String, Error> {
        Ok(self.inner.sessions.current().await?.user_name)
    }

    /// The account of whoever is logged in.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// println!("account number {}", client.account().await?.id);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn account(&self) -> Result<Account, Error> {
        let inner = &self.inner;
        let answer: AccountAnswer = inner
            .patiently(inner.end(), || async {
                inner.transport.rest_as(&inner.sessions, Method::GET, "/account", None::<&()>).await
            })
            .await?;
        Ok(answer.into())
    }

    /// Changes the password, which ends every other session of the account.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.change_password("Secret-1!", "Better-Secret-2!").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn change_password(&self, password: &str, new_password: &str) -> Result<(), Error> {
        let body = PasswordChange { password, new_password };
        let inner = &self.inner;
        inner.transport.rest_as(&inner.sessions, Method::PUT, "/account/password", Some(&body)).await
    }

    /// Deletes the account. Its messages stay, without its name.
    ///
    /// # Errors
    /// A refusal with [`Reason::OwnsRooms`](crate::Reason::OwnsRooms) while it owns rooms.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.delete_account("Secret-1!").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_account(&self, password: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let body = Farewell { password };
        inner.transport.rest_as::<()>(&inner.sessions, Method::DELETE, "/account", Some(&body)).await?;
        inner.sessions.forget().await
    }

    /// Ends every call, stream and room of this client and of its clones at once, and closes the connection.
    /// The session goes on: another client may use it.
    ///
    /// ```
    /// # let client = grpcchatter_client::Client::new_at("http://localhost:8080")?;
    /// client.disconnect();
    /// # Ok::<(), grpcchatter_client::Error>(())
    /// ```
    pub fn disconnect(&self) {
        self.inner.transport.close();
    }
}
