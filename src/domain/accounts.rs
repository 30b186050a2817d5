//! Accounts and the sessions that their owners open.

use std::{net::IpAddr, sync::Arc};

use super::{Guard, Guess, Tokens};
use crate::{
    audit::{Entry, Event},
    clock::Clock,
    crypto::{Passwords, Verdict},
    metrics::{LOG_INS, REGISTRATIONS},
    model::{
        Account, Error, GivenPassword, Network, Password, Payer, Result, SessionId, Timestamp, UserId,
        UserIdentity, UserName,
    },
    store::{Credentials, NewSession, Refreshed, Session, Store, Turn},
};

/// Hears which sessions of a user have ended, as soon as they have. Open streams notice by their own poll too; this makes
/// it sooner.
pub type SessionsEnded = Arc<dyn Fn(UserId, &[SessionId]) + Send + Sync>;

/// Hears that an account was deleted, before its owner does: what is kept in memory has its name no more.
pub type AccountDeleted = Arc<dyn Fn() + Send + Sync>;

/// Registers people, lets them in and out, and changes what is theirs. Clones share everything.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    passwords: Passwords,
    tokens: Tokens,
    guard: Guard,
    clock: Clock,
    sessions_ended: SessionsEnded,
    account_deleted: AccountDeleted,
}

/// What a client gets for its password, or for its refresh token.
#[derive(Clone)]
pub struct LogIn {
    /// The user token.
    pub token: String,
    /// When the user token ends.
    pub expires_at: Timestamp,
    /// What the next pair is got with.
    pub refresh_token: String,
}

impl Accounts {
    /// Makes a handle.
    pub fn new(
        store: Store,
        passwords: Passwords,
        tokens: Tokens,
        guard: Guard,
        clock: Clock,
        sessions_ended: SessionsEnded,
        account_deleted: AccountDeleted,
    ) -> Self {
        Self { store, passwords, tokens, guard, clock, sessions_ended, account_deleted }
    }

    /// Makes an account.
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
            Entry { user, ..Entry::at(address) }.tell(Event::Registered);
        }
        registered
    }

    async fn try_register(
        &self,
        user_name: UserName,
        password: Password,
        address: IpAddr,
    ) -> Result<Account> {
        let place = self.passwords.admit(Payer::Network(Network::of(address).region()))?;
        self.guard.register(address)?;
        let hash = place.hash(password.expose()).await?;
        self.store.create_account(user_name, hash).await
    }

    /// Opens a session. An unknown name costs the same time as a wrong password, and gets the same answer.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::RateLimited`], [`Error::Overloaded`]; failures of the database.
    pub async fn log_in(&self, user_name: &str, password: &str, address: IpAddr) -> Result<LogIn> {
        let done = self.try_log_in(user_name, password, address).await;
        LOG_INS.increment([result(&done)]);
        done
    }

    async fn try_log_in(&self, user_name: &str, password: &str, address: IpAddr) -> Result<LogIn> {
        let password = GivenPassword::new(password);
        let looked_for = UserName::lookup(user_name);
        // However it is spelled, it is the same account that is guessed at.
        let target = looked_for.as_ref().map(UserName::composed);
        let target = target.as_ref().map_or(user_name, UserName::as_str);
        let (attempt, payer) = (
            self.guard.guess(address, Guess::Account(target)).await?,
            Payer::Network(Network::of(address).region()),
        );
        // Whoever waits for a turn takes no place in the queue of passwords.
        let place = self.passwords.admit(payer)?;
        let found = match looked_for {
            Some(user_name) => self.store.find_credentials(user_name).await?,
            None => None,
        };
        let hash = found.as_ref().map(|found| found.password_hash.clone());
        let known = found.as_ref().map(|found| found.account.user_name.clone());
        let verdict = place.verify(&password, hash).await?;
        let (Some(found), Verdict::Right | Verdict::RightNeedsRehash) = (found, verdict) else {
            attempt.failed();
            let refused = Error::InvalidCredentials;
            // A name that nobody has may be a password that was typed in the wrong place.
            let user = known.as_ref().map(UserName::as_str);
            let reason = Some(refused.reason());
            Entry { reason, user, ..Entry::at(address) }.tell(Event::LogInFailed);
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
            lives: self.tokens.session_lives(),
            most: self.tokens.sessions_per_user(),
        };
        let (session, ended) =
            self.store.open_session(found.account.id, found.password_hash, rehashed, new).await?;
        (self.sessions_ended)(found.account.id, &ended);
        let user = known.as_ref().map(UserName::as_str);
        Entry { user, ..Entry::at(address) }.tell(Event::LoggedIn);
        self.log_in_of(&session)
    }

    /// Takes a refresh token's turn. The last one again answers the same for 30 seconds; any used one later
    /// ends the session, since somebody else may have it.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`] for what is no refresh token, [`Error::TokenExpired`] where the session's time is
    /// over, [`Error::TokenRevoked`] where it has ended; failures of the database.
    pub async fn refresh(&self, refresh_token: &str, address: IpAddr) -> Result<LogIn> {
        let keys = self.tokens.keys();
        let shown = keys.read_refresh_token(refresh_token)?;
        let turn = Turn {
            session: shown.session,
            generation: shown.generation,
            shown: shown.hash(),
            next: keys.refresh_token(shown.session, shown.generation.saturating_add(1)).hash(),
            lives: self.tokens.session_lives(),
        };
        match self.store.refresh_session(turn).await? {
            Refreshed::Alive(session) => self.log_in_of(&session),
            Refreshed::Unknown => Err(Error::TokenRevoked),
            Refreshed::Expired(user) => {
                (self.sessions_ended)(user, &[shown.session]);
                Err(Error::TokenExpired)
            }
            Refreshed::Reused(user) => {
                (self.sessions_ended)(user, &[shown.session]);
                let account = self.store.find_account(user).await.ok().flatten();
                let user = account.as_ref().map(|found| found.account.user_name.as_str());
                let reason = Some(Error::TokenRevoked.reason());
                Entry { reason, user, ..Entry::at(address) }.tell(Event::SessionReused);
                Err(Error::TokenRevoked)
            }
        }
    }

    /// Ends the caller's session, and with it every token made from it.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn log_out(&self, caller: &UserIdentity, address: IpAddr) -> Result<()> {
        self.store.end_session(caller.session, caller.user).await?;
        (self.sessions_ended)(caller.user, &[caller.session]);
        entry(caller, address).tell(Event::LoggedOut);
        Ok(())
    }

    /// Returns the caller's account.
    ///
    /// # Errors
    /// [`Error::TokenRevoked`] where it is gone; failures of the database.
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
        (self.sessions_ended)(caller.user, &ended);
        entry(caller, address).tell(Event::PasswordChanged);
        Ok(())
    }

    /// Deletes the caller's account; its messages stay, without a name.
    ///
    /// # Errors
    /// [`Error::OwnsRooms`] while it owns rooms, [`Error::InvalidCredentials`] where `password` is wrong,
    /// [`Error::RateLimited`], [`Error::Overloaded`]; failures of the database.
    pub async fn delete(&self, caller: &UserIdentity, password: &str, address: IpAddr) -> Result<()> {
        let verified = self.verify(caller, password, address).await?;
        let ended = self.store.delete_account(caller.user, verified.password_hash).await?;
        (self.account_deleted)();
        (self.sessions_ended)(caller.user, &ended);
        entry(caller, address).tell(Event::AccountDeleted);
        Ok(())
    }

    async fn credentials(&self, caller: &UserIdentity) -> Result<Credentials> {
        self.store.find_account(caller.user).await?.ok_or(Error::TokenRevoked)
    }

    /// Checks the password of somebody who is logged in: a borrowed device is not enough.
    async fn verify(&self, caller: &UserIdentity, password: &str, address: IpAddr) -> Result<Credentials> {
        // Under their session: strangers who guess at the account, here or elsewhere, must not keep them from it.
        let attempt = self.guard.guess(address, Guess::Own(caller.session)).await?;
        let place = self.passwords.admit(Payer::User(caller.user))?;
        let found = self.credentials(caller).await?;
        match place.verify(&GivenPassword::new(password), Some(found.password_hash.clone())).await? {
            Verdict::Right | Verdict::RightNeedsRehash => {
                attempt.succeeded();
                Ok(found)
            }
            Verdict::Wrong => {
                attempt.failed();
                let refused = Error::InvalidCredentials;
                let reason = Some(refused.reason());
                Entry { reason, ..entry(caller, address) }.tell(Event::OwnPasswordFailed);
                Err(refused)
            }
        }
    }

    fn log_in_of(&self, session: &Session) -> Result<LogIn> {
        let keys = self.tokens.keys();
        let refresh = keys
            .refresh_token_of(session.id, session.generation, &session.refresh_hash)
            .ok_or(Error::TokenInvalid)?;
        let (token, expires_at) = self.tokens.issue_user(session);
        Ok(LogIn { token, expires_at, refresh_token: refresh.expose() })
    }
}

fn entry(caller: &UserIdentity, address: IpAddr) -> Entry<'_> {
    Entry { user: Some(caller.user_name.as_str()), ..Entry::at(address) }
}

/// Returns how something went, as figures name it.
fn result<T>(done: &Result<T>) -> &'static str {
    done.as_ref().map_or_else(Error::reason, |_| "OK")
}

#[cfg(test)]
mod tests;
