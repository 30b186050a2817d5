//! The session of a client, and its tokens.
//!
//! A user token lives for minutes. It is renewed when the server says that it has expired, never by this machine's
//! clock, which may be off by more than its lifetime.

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
    session_file::{Session, SessionFile, SessionFileLock},
    transport::{Credential, Secret, Transport, is_token_refused},
};

/// Bounds a change of the session, whatever the server asks for: other calls wait for it. The server answers a
/// repeated refresh alike for 30 seconds, so no attempt within this time spends a token twice.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// The session of one client.
pub(crate) struct ClientSession {
    transport: Arc<Transport>,
    url: String,
    file: Option<SessionFile>,
    current: Mutex<Option<Session>>,
    /// Held during every change. A refresh token is good for one refresh, so a second caller waits for the first;
    /// and a refresh must not overwrite a session that started meanwhile.
    change_lock: tokio::sync::Mutex<()>,
}

/// The right to change the session, here and in the file.
struct ChangeGuard<'a> {
    _here: tokio::sync::MutexGuard<'a, ()>,
    _file: Option<SessionFileLock>,
}

/// The fields used of the responses to `/login` and `/refresh`.
#[derive(Deserialize)]
struct Tokens {
    token: Secret,
    refresh_token: Secret,
}

/// The field used of the response to `/account`.
#[derive(Deserialize)]
struct AccountName {
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

impl ClientSession {
    pub(crate) fn new(transport: Arc<Transport>, url: String, file: Option<SessionFile>) -> Self {
        Self { transport, url, file, current: Mutex::new(None), change_lock: tokio::sync::Mutex::new(()) }
    }

    async fn begin_change(&self, deadline: Instant) -> Result<ChangeGuard<'_>, Error> {
        let here = self.change_lock.lock().await;
        let file = match &self.file {
            Some(file) => Some(file.lock(deadline).await?),
            None => None,
        };
        Ok(ChangeGuard { _here: here, _file: file })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn login(&self, user_name: &str, password: &str) -> Result<(), Error> {
        let body = Credentials { user_name, password };
        let tokens: Tokens = self.transport.rest(Method::POST, "/login", None, Some(&body)).await?;
        let canonical_name = self.canonical_name(user_name, &tokens.token).await?;
        let typed_name = (canonical_name != user_name).then(|| user_name.to_owned());
        let _guard = self.begin_change(Instant::now() + CHANGE_TIMEOUT).await?;
        self.store(canonical_name, typed_name, tokens).await
    }

    /// The name as the server writes it in messages. The server also accepts a name in another Unicode
    /// normalization form; ASCII has only one.
    async fn canonical_name(&self, user_name: &str, token: &Secret) -> Result<String, Error> {
        if user_name.is_ascii() {
            return Ok(user_name.to_owned());
        }
        let account: AccountName =
            self.transport.rest(Method::GET, "/account", Some(token), None::<&()>).await?;
        Ok(account.user_name)
    }

    /// Ends the session on the server, then here.
    pub(crate) async fn logout(self: &Arc<Self>) -> Result<(), Error> {
        self.current().await?;
        let ended = self.transport.rest_with_token::<()>(self, Method::POST, "/logout", None::<&()>).await;
        match ended {
            // The server had ended it already, and the renewal has forgotten it.
            Err(Error::NotLoggedIn) => Ok(()),
            Err(error) if !is_token_refused(&error) => Err(error),
            _ => self.forget().await,
        }
    }

    /// Drops the session here, without the server.
    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let _guard = self.begin_change(Instant::now() + CHANGE_TIMEOUT).await?;
        self.clear().await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.lock().take();
        match &self.file {
            Some(file) => file.remove().await,
            None => Ok(()),
        }
    }

    /// The current session, loaded from the file if necessary.
    pub(crate) async fn current(&self) -> Result<Session, Error> {
        if let Some(session) = self.lock().clone() {
            return Ok(session);
        }
        let session = self.load().await?.ok_or(Error::NotLoggedIn)?;
        Ok(self.lock().get_or_insert(session).clone())
    }

    /// The file's session for this server.
    async fn load(&self) -> Result<Option<Session>, Error> {
        let Some(file) = &self.file else { return Ok(None) };
        Ok(file.load().await?.filter(|session| session.url == self.url))
    }

    async fn store(
        &self,
        user_name: String,
        typed_name: Option<String>,
        tokens: Tokens,
    ) -> Result<(), Error> {
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

    /// Exchanges the refresh token, unless this client or another process has done so since.
    async fn renew_once(&self, refused: &Secret) -> Result<(), Error> {
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        let _guard = self.begin_change(deadline).await?;
        if self.current().await?.token != *refused {
            return Ok(());
        }
        if let Some(other) = self.load().await?.filter(|session| session.token != *refused) {
            self.lock().replace(other);
            return Ok(());
        }
        let session = self.current().await?;
        match self.refresh(&session.refresh_token, deadline).await {
            Ok(tokens) => self.store(session.user_name, session.typed_name, tokens).await,
            Err(error) if is_token_refused(&error) => {
                self.clear().await?;
                Err(Error::NotLoggedIn)
            }
            Err(error) => Err(error),
        }
    }

    /// Retries until `deadline`. If the server asks to wait beyond it, the error is returned at once.
    async fn refresh(&self, refresh_token: &Secret, deadline: Instant) -> Result<Tokens, Error> {
        let mut backoff = Backoff::default();
        loop {
            let body = Refresh { refresh_token };
            let attempt =
                timeout_at(deadline, self.transport.rest(Method::POST, "/refresh", None, Some(&body)));
            let error = match attempt.await.unwrap_or(Err(Error::TimedOut)) {
                Err(error) if error.is_retryable() => error,
                response => return response,
            };
            let next = Instant::now() + backoff.next(error.retry_after());
            if next > deadline {
                return Err(error);
            }
            tokio::select! {
                () = self.transport.closed() => return Err(Error::Disconnected),
                () = sleep_until(next) => {}
            }
        }
    }
}

impl Credential for Arc<ClientSession> {
    async fn token(&self) -> Result<Secret, Error> {
        Ok(self.current().await?.token)
    }

    /// Runs in its own task: if the caller is dropped, the token must not be exchanged on the server and lost here.
    async fn renew(&self, refused: &Secret) -> Result<(), Error> {
        let (session, refused) = (Self::clone(self), refused.clone());
        let task = tokio::spawn(async move { session.renew_once(&refused).await });
        tokio::select! {
            biased;
            () = self.transport.closed() => Err(Error::Disconnected),
            done = task => done.unwrap_or(Err(Error::Disconnected)),
        }
    }
}
