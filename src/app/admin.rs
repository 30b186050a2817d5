//! Operator commands on the database, with or without a running server.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tokio::runtime::{Builder, Runtime};

use super::StartError;
use crate::{
    audit::{Entry, Event},
    clock::Clock,
    config::{Config, DataDir},
    crypto::{Passwords, Secret},
    model::{Error, Password, Room, RoomId, ShortCode, UserId, UserName},
    store::{AccountChange, AccountRecord, DatabaseUrl, SetupError, Store},
};

/// How many rooms or accounts are read at once.
const PAGE_SIZE: i64 = 500;

/// A database that is opened for an operator. A server may be using it.
pub struct Admin {
    runtime: Runtime,
    store: Store,
    clock: Clock,
}

/// Why an operator's command fails.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The database cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no account of this name.
    #[error("there is no user {0:?}")]
    NoSuchUser(String),
    /// There is no room with this code.
    #[error("there is no room with the short code {0:?}")]
    NoSuchRoom(String),
    /// A rule or the database refuses it.
    #[error(transparent)]
    Refused(Error),
    /// The backup cannot be written.
    #[error("{path} cannot be written: {cause}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// PostgreSQL has its own backup tools.
    #[error(
        "PostgreSQL is backed up with `pg_dump --format=custom`, which needs no stop either: see docs/operate.md"
    )]
    UsePgDump,
}

impl AdminError {
    /// Returns the program's exit code (sysexits.h).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Start(error) => error.exit_code(),
            Self::NoSuchUser(_) | Self::NoSuchRoom(_) => 66,
            Self::Refused(
                Error::UserNameTaken
                | Error::InvalidUserName
                | Error::FlawedUserName(_)
                | Error::InvalidPassword
                | Error::InvalidShortCode
                | Error::OwnsRooms,
            ) => 65,
            Self::Refused(_) => 69,
            Self::Backup { .. } => 73,
            Self::UsePgDump => 64,
        }
    }
}

impl From<Error> for AdminError {
    fn from(error: Error) -> Self {
        match error {
            Error::RoomNotFound(code) => Self::NoSuchRoom(code.as_str().to_owned()),
            error => Self::Refused(error),
        }
    }
}

impl Admin {
    /// Opens a database.
    ///
    /// # Errors
    /// Where it does not exist, or has another version's schema.
    pub fn open(database: &DatabaseUrl) -> Result<Self, AdminError> {
        let clock = Clock::system();
        let runtime = runtime()?;
        let store = runtime
            .block_on(Store::connect_without_lock(database, clock.clone()))
            .map_err(StartError::of(database))?;
        Ok(Self { runtime, store, clock })
    }

    /// Creates an account.
    ///
    /// # Errors
    /// Where the name or the password is invalid, or the name is taken.
    pub fn add_user(&self, name: &str, password: &str) -> Result<(), AdminError> {
        let (name, password) = (UserName::parse(name)?, Password::parse(password)?);
        self.runtime.block_on(async {
            let hash = self.hash(&password);
            self.store.create_account(name.clone(), hash).await
        })?;
        audit(Event::UserAdded, Some(name.as_str()));
        Ok(())
    }

    /// Ends the account's sessions and refuses its logins from now on. A running server notices within seconds.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn disable_user(&self, name: &str) -> Result<(), AdminError> {
        self.change_account(name, AccountChange::Disable, Event::UserDisabled)
    }

    /// Allows a disabled account to log in again.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn enable_user(&self, name: &str) -> Result<(), AdminError> {
        self.change_account(name, AccountChange::Enable, Event::UserEnabled)
    }

    /// Replaces an account's password and ends its sessions.
    ///
    /// # Errors
    /// Where there is no such account, or the password is invalid.
    pub fn reset_password(&self, name: &str, password: &str) -> Result<(), AdminError> {
        let password = Password::parse(password)?;
        let hash = self.hash(&password);
        self.change_account(name, AccountChange::SetPassword(hash), Event::PasswordReset)
    }

    /// Deletes an account that owns no rooms. A running server ends its streams and drops its name within seconds.
    ///
    /// # Errors
    /// Where there is no such account, or it owns rooms.
    pub fn delete_user(&self, name: &str) -> Result<(), AdminError> {
        self.with_user(name, |name| self.store.remove_account(name))?;
        audit(Event::AccountDeleted, Some(name));
        Ok(())
    }

    /// Calls `each` with every account, until it fails.
    ///
    /// # Errors
    /// Where the database or `each` fails.
    pub fn users<E: From<AdminError>>(
        &self,
        mut each: impl FnMut(&AccountRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = UserId(0);
        loop {
            let people = self
                .runtime
                .block_on(self.store.list_accounts(after, PAGE_SIZE))
                .map_err(AdminError::from)?;
            people.iter().try_for_each(&mut each)?;
            match people.last() {
                Some(last) => after = last.account.id,
                None => return Ok(()),
            }
        }
    }

    /// Returns an account and the rooms that it owns.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn user(&self, name: &str) -> Result<(AccountRecord, Vec<Room>), AdminError> {
        self.with_user(name, |name| self.store.account_record(name))
    }

    /// Calls `each` with every room, until it fails.
    ///
    /// # Errors
    /// Where the database or `each` fails.
    pub fn rooms<E: From<AdminError>>(&self, mut each: impl FnMut(&Room) -> Result<(), E>) -> Result<(), E> {
        let mut after = RoomId(0);
        loop {
            let rooms = self
                .runtime
                .block_on(self.store.list_all_rooms(after, PAGE_SIZE))
                .map_err(AdminError::from)?;
            rooms.iter().try_for_each(&mut each)?;
            match rooms.last() {
                Some(last) => after = last.id,
                None => return Ok(()),
            }
        }
    }

    /// Returns a room.
    ///
    /// # Errors
    /// Where there is no such room.
    pub fn room(&self, code: &str) -> Result<Room, AdminError> {
        let code = ShortCode::parse(code)?;
        Ok(self.runtime.block_on(self.store.room_by_code(&code))?.room)
    }

    /// Deletes a room. A running server ends its streams within seconds and removes its messages.
    ///
    /// # Errors
    /// Where there is no such room.
    pub fn delete_room(&self, code: &str) -> Result<(), AdminError> {
        let code = ShortCode::parse(code)?;
        let room = self.runtime.block_on(async {
            let record = self.store.room_by_code(&code).await?;
            self.store.delete_room(record.room.id).await?;
            Ok::<_, Error>(record.room.id)
        })?;
        Entry { room: Some(room), uid: Some(uid()), ..Entry::default() }.emit(Event::RoomDeleted);
        Ok(())
    }

    /// Copies the database into a new file.
    ///
    /// # Errors
    /// Where the file cannot be created, or the database is PostgreSQL.
    pub fn backup(database: &DatabaseUrl, path: &Path) -> Result<(), AdminError> {
        if matches!(database, DatabaseUrl::Postgres(_)) {
            return Err(AdminError::UsePgDump);
        }
        let admin = Self::open(database)?;
        let failed = |cause| AdminError::Backup { path: path.to_owned(), cause };
        // Only the owner may read it, as the database itself.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let copied = admin.runtime.block_on(admin.store.copy_into(path)).map_err(AdminError::from);
        let copied = copied.and_then(|()| sync(&file, path).map_err(failed));
        if copied.is_err() {
            // An incomplete backup must not be mistaken for a complete one.
            drop(std::fs::remove_file(path));
        } else {
            audit(Event::BackupMade, None);
        }
        copied
    }

    /// Migrates the database to this program's version. No server may use it meanwhile.
    ///
    /// # Errors
    /// Where a server uses it, or its schema is newer.
    pub fn migrate(config: &Config) -> Result<(), AdminError> {
        let _lock = DataDir::lock(&config.data_dir).map_err(StartError::from)?;
        let migrated = runtime()?.block_on(async {
            let store = Store::connect(&config.database, Clock::system()).await?;
            let migrated = store.migrate(&config.database).await?;
            store.close().await;
            Ok(migrated)
        });
        if migrated.map_err(StartError::of(&config.database))?.has_changed {
            audit(Event::Migrated, None);
        }
        Ok(())
    }

    /// Checks the database as a server does when it starts, without changing it. Returns what the server would do first.
    ///
    /// # Errors
    /// The reason why a server could not use it.
    pub fn check(config: &Config) -> Result<&'static str, AdminError> {
        Store::check_location(&config.database, &config.data_dir)
            .map_err(StartError::of(&config.database))?;
        match Self::open(&config.database) {
            Ok(_) => Ok("the database can be served from"),
            Err(AdminError::Start(StartError::Database { cause: SetupError::Absent(_), .. })) => {
                Ok("there is no database yet: the server makes it")
            }
            Err(AdminError::Start(StartError::Database { cause: SetupError::SchemaTooOld(_), .. })) => {
                Ok("the database is an older version's, or empty: the server brings it to this one")
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a secret that signs tokens.
    pub fn new_secret() -> String {
        Secret::generate(&Clock::system()).expose().to_owned()
    }

    fn change_account(&self, name: &str, change: AccountChange, event: Event) -> Result<(), AdminError> {
        self.with_user(name, |name| self.store.change_account(name, change))?;
        audit(event, Some(name));
        Ok(())
    }

    /// Acts on the account of this name. The error names the account if there is none.
    fn with_user<T, Done: Future<Output = Result<T, Error>>>(
        &self,
        name: &str,
        act: impl FnOnce(UserName) -> Done,
    ) -> Result<T, AdminError> {
        let no_such_user = || AdminError::NoSuchUser(name.to_owned());
        self.runtime.block_on(act(UserName::lookup(name).ok_or_else(no_such_user)?)).map_err(|error| {
            match error {
                // The server's sentence for this error is about a member of a room.
                Error::UserNotFound => no_such_user(),
                error => error.into(),
            }
        })
    }

    fn hash(&self, password: &Password) -> String {
        Passwords::hash_here(&self.clock, password.expose())
    }
}

/// Writes an audit line with the operator's user id.
fn audit(event: Event, user: Option<&str>) {
    Entry { uid: Some(uid()), user, ..Entry::default() }.emit(event);
}

fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

fn runtime() -> Result<Runtime, StartError> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(StartError::Runtime)
}

/// Syncs a file and its folder, so that both survive a crash.
fn sync(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
