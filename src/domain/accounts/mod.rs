//! Accounts and their sessions.

use std::net::IpAddr;

use super::{GuessTarget, NameCache, Publisher, RateLimits, Tokens};
use crate::{
    audit::{Entry, Event},
    clock::Clock,
    crypto::{Passwords, Verdict},
    metrics::{LOG_INS, REGISTRATIONS},
    model::{
        Account, Error, GivenPassword, Network, Password, Payer, Result, SessionId, Timestamp, UserIdentity,
        UserName,
    },
    store::{Credentials, NewSession, RefreshRotation, Refreshed, Session, Store},
};

/// Registers users, logs them in and out, changes and deletes their accounts. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    passwords: Passwords,
    tokens: Tokens,
    rate_limits: RateLimits,
    clock: Clock,
    publisher: Publisher,
    names: NameCache,
}

/// What a client gets for its password or its refresh token.
#[derive(Clone)]
pub struct IssuedTokens {
    /// The user token.
    pub token: String,
    /// When the user token expires.
    pub expires_at: Timestamp,
    /// The token for the next refresh.
    pub refresh_token: String,
}

impl Accounts {
    /// Creates the service.
    pub fn new(
        store: Store,
        passwords: Passwords,
        tokens: Tokens,
        rate_limits: RateLimits,
        clock: Clock,
        publisher: Publisher,
        names: NameCache,
    ) -> Self {
        Self { store, passwords, tokens, rate_limits, clock, publisher, names }
    }

    /// Creates an account.
    ///
    /// # Errors
    /// [`Error::UserNameTaken`], [`Error::RateLimited`], [`Error::Overloaded`]; failures of the database.
    pub async fn register(
        &self,
        user_name: UserName,
        password: Password,
        address: IpAddr,
    ) -> Result<Account> {
        let registered = self.try_register(user_name, password, address).await;
        REGISTRATIONS.increment([result(&registered)]);
        if let Ok(account) = &registered {
            let user = Some(account.user_name.as_str());
            Entry { user, ..Entry::at(address) }.emit(Event::Registered);
        }
        registered
    }

    async fn try_register(
        &self,
        user_name: UserName,
        password: Password,
        address: IpAddr,
    ) -> Result<Account> {
        let admitted = self.passwords.admit(Payer::Network(Network::of(address).region()))?;
        self.rate_limits.register(address)?;
        let hash = admitted.hash(password.expose()).await?;
        self.store.create_account(user_name, hash).await
    }

    /// Opens a session. An unknown name takes the same time as a wrong password, and gets the same answer.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::RateLimited`], [`Error::Overloaded`]; failures of the database.
    pub async fn log_in(&self, user_name: &str, password: &str, address: IpAddr) -> Result<IssuedTokens> {
        let logged_in = self.try_log_in(user_name, password, address).await;
        LOG_INS.increment([result(&logged_in)]);
        logged_in
    }

    async fn try_log_in(&self, user_name: &str, password: &str, address: IpAddr) -> Result<IssuedTokens> {
        let password = GivenPassword::new(password);
        let lookup = UserName::lookup(user_name);
        // Different spellings of a name are guesses at the same account.
        let target = lookup.as_ref().map(UserName::composed);
        let target = target.as_ref().map_or(user_name, UserName::as_str);
        let (attempt, payer) = (
            self.rate_limits.guess(address, GuessTarget::Account(target)).await?,
            Payer::Network(Network::of(address).region()),
        );
        // After the guess: an attempt that waits takes no place in the queue of passwords.
        let admitted = self.passwords.admit(payer)?;
        let found = match lookup {
            Some(user_name) => self.store.find_credentials(user_name).await?,
            None => None,
        };
        let hash = found.as_ref().map(|found| found.password_hash.clone());
        let known = found.as_ref().map(|found| found.account.user_name.clone());
        let verdict = admitted.verify(&password, hash).await?;
        let (Some(found), Verdict::Right | Verdict::RightNeedsRehash) = (found, verdict) else {
            attempt.failed();
            let refused = Error::InvalidCredentials;
            // A name that no account has may be a password in the wrong field.
            let user = known.as_ref().map(UserName::as_str);
            let reason = Some(refused.reason());
            Entry { reason, user, ..Entry::at(address) }.emit(Event::LogInFailed);
            return Err(refused);
        };
        attempt.succeeded();
        let rehashed = match verdict {
            Verdict::RightNeedsRehash => self.passwords.hash(payer, password.expose()).await.ok(),
            _ => None,
        };
        let id = SessionId(self.clock.uuid());
        let refresh_hash = self.tokens.keys().refresh_token(id, 0).hash();
        let new = NewSession {
            id,
            refresh_hash,
            lifetime: self.tokens.session_ttl(),
            max_sessions: self.tokens.sessions_per_user(),
        };
        let (session, ended) =
            self.store.open_session(found.account.id, found.password_hash, rehashed, new).await?;
        self.publisher.end_streams(found.account.id, &ended);
        let user = known.as_ref().map(UserName::as_str);
        Entry { user, ..Entry::at(address) }.emit(Event::LoggedIn);
        self.issue_tokens(&session)
    }

    /// Rotates a refresh token. The one that was used last gets the same answer again for 30 seconds. Any other used
    /// one, or that one later, ends the session, since somebody else may have it.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`] for a token that is no refresh token, [`Error::TokenExpired`] where the session has
    /// expired, [`Error::TokenRevoked`] where it has ended; failures of the database.
    pub async fn refresh(&self, refresh_token: &str, address: IpAddr) -> Result<IssuedTokens> {
        let keys = self.tokens.keys();
        let presented = keys.read_refresh_token(refresh_token)?;
        let rotation = RefreshRotation {
            session: presented.session,
            generation: presented.generation,
            presented: presented.hash(),
            successor: keys.refresh_token(presented.session, presented.generation.saturating_add(1)).hash(),
            lifetime: self.tokens.session_ttl(),
        };
        match self.store.refresh_session(rotation).await? {
            Refreshed::Alive(session) => self.issue_tokens(&session),
            Refreshed::Unknown => Err(Error::TokenRevoked),
            Refreshed::Expired(user) => {
                self.publisher.end_streams(user, &[presented.session]);
                Err(Error::TokenExpired)
            }
            Refreshed::Reused(user) => {
                self.publisher.end_streams(user, &[presented.session]);
                let account = self.store.find_account(user).await.ok().flatten();
                let user = account.as_ref().map(|found| found.account.user_name.as_str());
                let reason = Some(Error::TokenRevoked.reason());
                Entry { reason, user, ..Entry::at(address) }.emit(Event::SessionReused);
                Err(Error::TokenRevoked)
            }
        }
    }

    /// Ends the caller's session, which revokes every token made from it.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn log_out(&self, caller: &UserIdentity, address: IpAddr) -> Result<()> {
        self.store.end_session(caller.session, caller.user).await?;
        self.publisher.end_streams(caller.user, &[caller.session]);
        entry(caller, address).emit(Event::LoggedOut);
        Ok(())
    }

    /// Returns the caller's account.
    ///
    /// # Errors
    /// [`Error::TokenRevoked`] where it no longer exists; failures of the database.
    pub async fn account(&self, caller: &UserIdentity) -> Result<Account> {
        Ok(self.credentials(caller).await?.account)
    }

    /// Replaces the caller's password, and ends their other sessions.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] where `password` is wrong, [`Error::RateLimited`], [`Error::Overloaded`];
    /// failures of the database.
    pub async fn change_password(
        &self,
        caller: &UserIdentity,
        password: &str,
        new_password: Password,
        address: IpAddr,
    ) -> Result<()> {
        let verified = self.verify(caller, password, address).await?;
        let new_hash = self.passwords.hash(Payer::User(caller.user), new_password.expose()).await?;
        let ended =
            self.store.change_password(caller.user, verified.password_hash, new_hash, caller.session).await?;
        self.publisher.end_streams(caller.user, &ended);
        entry(caller, address).emit(Event::PasswordChanged);
        Ok(())
    }

    /// Deletes the caller's account. Its messages stay, without a name.
    ///
    /// # Errors
    /// [`Error::OwnsRooms`] while it owns rooms, [`Error::InvalidCredentials`] where `password` is wrong,
    /// [`Error::RateLimited`], [`Error::Overloaded`]; failures of the database.
    pub async fn delete(&self, caller: &UserIdentity, password: &str, address: IpAddr) -> Result<()> {
        let verified = self.verify(caller, password, address).await?;
        let ended = self.store.delete_account(caller.user, verified.password_hash).await?;
        // The rest is done by the poll for deleted accounts, when what its owner sent just before has been published.
        self.names.invalidate_now();
        self.publisher.end_streams(caller.user, &ended);
        entry(caller, address).emit(Event::AccountDeleted);
        Ok(())
    }

    async fn credentials(&self, caller: &UserIdentity) -> Result<Credentials> {
        self.store.find_account(caller.user).await?.ok_or(Error::TokenRevoked)
    }

    /// Checks the password of a logged-in user: access to their device is not enough.
    async fn verify(&self, caller: &UserIdentity, password: &str, address: IpAddr) -> Result<Credentials> {
        // Counted under their session: strangers who guess at the account must not block its owner.
        let attempt = self.rate_limits.guess(address, GuessTarget::Own(caller.session)).await?;
        let admitted = self.passwords.admit(Payer::User(caller.user))?;
        let found = self.credentials(caller).await?;
        match admitted.verify(&GivenPassword::new(password), Some(found.password_hash.clone())).await? {
            Verdict::Right | Verdict::RightNeedsRehash => {
                attempt.succeeded();
                Ok(found)
            }
            Verdict::Wrong => {
                attempt.failed();
                let refused = Error::InvalidCredentials;
                let reason = Some(refused.reason());
                Entry { reason, ..entry(caller, address) }.emit(Event::OwnPasswordFailed);
                Err(refused)
            }
        }
    }

    fn issue_tokens(&self, session: &Session) -> Result<IssuedTokens> {
        let keys = self.tokens.keys();
        let refresh = keys
            .refresh_token_of(session.id, session.generation, &session.refresh_hash)
            .ok_or(Error::TokenInvalid)?;
        let (token, expires_at) = self.tokens.issue_user(session);
        Ok(IssuedTokens { token, expires_at, refresh_token: refresh.expose() })
    }
}

fn entry(caller: &UserIdentity, address: IpAddr) -> Entry<'_> {
    Entry { user: Some(caller.user_name.as_str()), ..Entry::at(address) }
}

/// Returns the label of an outcome in the metrics.
fn result<T>(outcome: &Result<T>) -> &'static str {
    outcome.as_ref().map_or_else(Error::reason, |_| "OK")
}

#[cfg(test)]
mod tests;
