//! The client: server, session and account.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    Account, ClientBuilder, Error, retry::deadline_after, session::ClientSession, transport::Transport,
};

/// A user's connection to one server. Clones share the connection and the session.
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
/// Joining and calls that only read are retried within [`ClientBuilder::send_timeout`] while that may help
/// ([`Error::is_retryable`]). Calls that create or end something are tried once; [`Error::is_retryable`] leaves the
/// decision to the caller.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) transport: Arc<Transport>,
    pub(crate) session: Arc<ClientSession>,
    pub(crate) url: String,
    pub(crate) send_timeout: Duration,
    /// The end of all calls of this handle, if it has one.
    pub(crate) deadline: Option<Instant>,
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
struct AccountDeletion<'a> {
    password: &'a str,
}

#[derive(Deserialize)]
struct AccountResponse {
    id: i64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: time::OffsetDateTime,
    user_name: String,
}

impl From<AccountResponse> for Account {
    fn from(response: AccountResponse) -> Self {
        Self {
            id: response.id,
            user_name: response.user_name,
            created_at: SystemTime::from(response.created_at),
        }
    }
}

impl Client {
    pub(crate) fn new(
        transport: Arc<Transport>,
        session: Arc<ClientSession>,
        url: String,
        send_timeout: Duration,
    ) -> Self {
        Self { inner: Arc::new(Inner { transport, session, url, send_timeout, deadline: None }) }
    }

    /// A client for the server at `url`, with the defaults of [`ClientBuilder`]. Sends nothing yet.
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

    /// Returns a handle with one deadline, `timeout` from now, for all its calls and for the rooms that it joins.
    /// It replaces the [`ClientBuilder::send_timeout`] of each call. Use it in a program that makes several calls
    /// and must finish in time.
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
    pub fn within(&self, timeout: Duration) -> Self {
        let Inner { transport, session, url, send_timeout, .. } = &*self.inner;
        let (transport, session) = (Arc::clone(transport), Arc::clone(session));
        let deadline = Some(deadline_after(timeout));
        Self {
            inner: Arc::new(Inner {
                transport,
                session,
                url: url.clone(),
                send_timeout: *send_timeout,
                deadline,
            }),
        }
    }

    /// Creates an account. Log in next.
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
        let response: AccountResponse =
            self.inner.transport.rest(Method::POST, "/register", None, Some(&body)).await?;
        Ok(response.into())
    }

    /// Starts a session. Its tokens are renewed automatically.
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
        self.inner.session.login(user_name, password).await
    }

    /// Continues the user's session if there is one, also from [`ClientBuilder::session_file`], and logs in if
    /// there is none or it has ended. For programs that run unattended.
    ///
    /// It asks the server once, and is retried like the calls that only read.
    ///
    /// # Errors
    /// Those of [`Client::login`].
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
        let session = &self.inner.session;
        let ended = match session.current().await {
            Ok(session) if session.is_of(user_name) => self.account().await.err(),
            Ok(_) => Some(Error::NotLoggedIn),
            Err(error) => Some(error),
        };
        match ended {
            None => Ok(()),
            Some(Error::NotLoggedIn) => {
                self.inner.retry_until(self.inner.deadline(), || session.login(user_name, password)).await
            }
            Some(error) => Err(error),
        }
    }

    /// Ends the session, its tokens and its open streams, here and on the server. If the server has ended it
    /// already, it is only forgotten here.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`] if there is no session. After any other error the session is kept and can
    /// be ended later.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.logout().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn logout(&self) -> Result<(), Error> {
        self.inner.session.logout().await
    }

    /// The user name of the session. Does not ask the server, so the session may have ended there.
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
        Ok(self.inner.session.current().await?.user_name)
    }

    /// The account of the logged-in user.
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
        let response: AccountResponse = inner
            .retry_until(inner.deadline(), || async {
                inner.transport.rest_with_token(&inner.session, Method::GET, "/account", None::<&()>).await
            })
            .await?;
        Ok(response.into())
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
        inner.transport.rest_with_token(&inner.session, Method::PUT, "/account/password", Some(&body)).await
    }

    /// Deletes the account. Its messages stay, without its name.
    ///
    /// # Errors
    /// A refusal with [`Reason::OwnsRooms`](crate::Reason::OwnsRooms) while the account owns rooms.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.delete_account("Secret-1!").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_account(&self, password: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let body = AccountDeletion { password };
        inner
            .transport
            .rest_with_token::<()>(&inner.session, Method::DELETE, "/account", Some(&body))
            .await?;
        inner.session.forget().await
    }

    /// Ends every call, stream and room of this client and its clones at once, and closes the connection. The
    /// session stays valid: another client can use it.
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
