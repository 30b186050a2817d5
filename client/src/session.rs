//! Who is logged in, and the token that says so.
//!
//! A user token lives some minutes. It is renewed when the server says that it is over, never by this
//! machine's clock, which may be wrong by more than a token lives.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Error,
    backoff::Backoff,
    session_file::{Session, SessionFile, Turn},
    transport::{Credential, Secret, Transport, is_token_refused},
};

/// How long the session may be changing, whatever the server asks for: others wait for it. The server answers a
/// repeated refresh alike for 30 seconds, so that no attempt within this time spends a token twice.
const CHANGE: Duration = Duration::from_secs(20);

/// The session of one client.
pub(crate) struct Sessions {
    transport: Arc<Transport>,
    url: String,
    file: Option<SessionFile>,
    current: Mutex<Option<Session>>,
    /// Held over every change: a refresh token is good for one refresh, so the second caller waits for the first
    /// one's; and what a refresh brings must not take the place of a session that began meanwhile.
    changing: tokio::sync::Mutex<()>,
}

/// Whoever holds it may change the session, here and in the file.
struct Change<'a> {
    _here: tokio::sync::MutexGuard<'a, ()>,
    _file: Option<Turn>,
}

/// What `/login` and `/refresh` answer, as far as it is needed.
#[derive(Deserialize)]
struct Tokens {
    token: Secret,
    refresh_token: Secret,
}

/// What `/account` answers, as far as it is needed.
#[derive(Deserialize)]
struct Named {
    user_name: String,
}

#[derive(Serialize)]
struct Credentials<'a> {
    user_name: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct Refresh<'a> {
    refresh_token: &'a Secret,
}

impl Sessions {
    pub(crate) fn new(transport: Arc<Transport>, url: String, file: Option<SessionFile>) -> Self {
        Self { transport, url, file, current: Mutex::new(None), changing: tokio::sync::Mutex::new(()) }
    }

    async fn change(&self, end: Instant) -> Result<Change<'_>, Error> {
        let here = self.changing.lock().await;
        let file = match &self.file {
            Some(file) => Some(file.turn(end).await?),
            None => None,
        };
        Ok(Change { _here: here, _file: file })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn login(&self, user_name: &str, password: &str) -> Result<(), Error> {
        let body = Credentials { user_name, password };
        let tokens: Tokens = self.transport.rest(Method::POST, "/login", None, Some(&body)).await?;
        let spelled = self.spelled(user_name, &tokens.token).await?;
        let typed_name = (spelled != user_name).then(|| user_name.to_owned());
        let _change = self.change(Instant::now() + CHANGE).await?;
        self.keep(spelled, typed_name, tokens).await
    }

    /// The name as the server writes it beside messages: it knows names in another composition of their letters too,
    /// and ASCII has one alone.
    async fn spelled(&self, user_name: &str, token: &Secret) -> Result<String, Error> {
        if user_name.is_ascii() {
            return Ok(user_name.to_owned());
        }
        let account: Named = self.transport.rest(Method::GET, "/account", Some(token), None::<&()>).await?;
        Ok(account.user_name)
    }

    /// Ends the session at the server, then here.
    pub(crate) async fn logout(self: &Arc<Self>) -> Result<(), Error> {
        self.current().await?;
        let ended = self.transport.rest_as::<()>(self, Method::POST, "/logout", None::<&()>).await;
        match ended {
            // It had ended at the server already, and is forgotten.
            Err(Error::NotLoggedIn) => Ok(()),
            Err(error) if !is_token_refused(&error) => Err(error),
            _ => self.forget().await,
        }
    }

    /// Drops the session on this side.
    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let _change = self.change(Instant::now() + CHANGE).await?;
        self.drop_session().await
    }

    async fn drop_session(&self) -> Result<(), Error> {
        self.lock().take();
        match &self.file {
            Some(file) => file.remove().await,
            None => Ok(()),
        }
    }

    /// The session as it is known; from the file where one is kept.
    pub(crate) async fn current(&self) -> Result<Session, Error> {
        if let Some(session) = self.lock().clone() {
            return Ok(session);
        }
        let session = self.stored().await?.ok_or(Error::NotLoggedIn)?;
        Ok(self.lock().get_or_insert(session).clone())
    }

    /// What the file holds for this server.
    async fn stored(&self) -> Result<Option<Session>, Error> {
        let Some(file) = &self.file else { return Ok(None) };
        Ok(file.load().await?.filter(|session| session.url == self.url))
    }

    async fn keep(&self, user_name: String, typed_name: Option<String>, tokens: Tokens) -> Result<(), Error> {
        let session = Session {
            url: self.url.clone(),
            user_name,
            typed_name,
            token: tokens.token,
            refresh_token: tokens.refresh_token,
        };
        self.lock().replace(session.clone());
        match &self.file {
            Some(file) => file.save(session).await,
            None => Ok(()),
        }
    }

    /// Exchanges the refresh token, unless this client or another program has done so since.
    async fn replace(&self, refused: &Secret) -> Result<(), Error> {
        let end = Instant::now() + CHANGE;
        let _change = self.change(end).await?;
        if self.current().await?.token != *refused {
            return Ok(());
        }
        if let Some(other) = self.stored().await?.filter(|session| session.token != *refused) {
            self.lock().replace(other);
            return Ok(());
        }
        let session = self.current().await?;
        match self.refresh(&session.refresh_token, end).await {
            Ok(tokens) => self.keep(session.user_name, session.typed_name, tokens).await,
            Err(error) if is_token_refused(&error) => {
                self.drop_session().await?;
                Err(Error::NotLoggedIn)
            }
            Err(error) => Err(error),
        }
    }

    /// Tries until `end`, and no longer for a server that asks to wait beyond it: the caller is told so.
    async fn refresh(&self, refresh_token: &Secret, end: Instant) -> Result<Tokens, Error> {
        let mut backoff = Backoff::default();
        loop {
            let body = Refresh { refresh_token };
            let attempt = timeout_at(end, self.transport.rest(Method::POST, "/refresh", None, Some(&body)));
            let error = match attempt.await.unwrap_or(Err(Error::TimedOut)) {
                Err(error) if error.is_retryable() => error,
                answer => return answer,
            };
            let next = Instant::now() + backoff.next(error.retry_after());
            if next > end {
                return Err(error);
            }
            tokio::select! {
                () = self.transport.closed() => return Err(Error::Disconnected),
                () = sleep_until(next) => {}
            }
        }
    }
}

impl Credential for Arc<Sessions> {
    async fn token(&self) -> Result<Secret, Error> {
        Ok(self.current().await?.token)
    }

    /// Runs as a task of its own: a caller that gives up must not leave behind a token that was exchanged at
    /// the server and not here.
    async fn renew(&self, refused: &Secret) -> Result<(), Error> {
        let (sessions, refused) = (Self::clone(self), refused.clone());
        let task = tokio::spawn(async move { sessions.replace(&refused).await });
        tokio::select! {
            biased;
            () = self.transport.closed() => Err(Error::Disconnected),
            done = task => done.unwrap_or(Err(Error::Disconnected)),
        }
    }
}
