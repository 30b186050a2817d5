//! What an operator does beside a running server, or before there is one.

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
    store::{AccountRecord, DatabaseUrl, Sentence, SetupError, Store},
};

/// Rooms and accounts are read in pages of so many.
const PAGE: i64 = 500;

/// A database that may be in use, opened for an operator.
pub struct Admin {
    core: Runtime,
    store: Store,
    clock: Clock,
}

/// Why an operator's command cannot be done.
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
    /// The rules or the database refuse it.
    #[error(transparent)]
    Refused(Error),
    /// The backup cannot be written.
    #[error("{path} cannot be written: {cause}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// PostgreSQL is backed up by its own tools.
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
    /// Where it is not there, or another version's.
    pub fn open(database: &DatabaseUrl) -> Result<Self, AdminError> {
        let clock = Clock::system();
        let core = core()?;
        let store = core
            .block_on(Store::connect_beside(database, clock.clone()))
            .map_err(StartError::of(database))?;
        Ok(Self { core, store, clock })
    }

    /// Makes an account.
    ///
    /// # Errors
    /// Where the name or the password is none, or the name is taken.
    pub fn add_user(&self, name: &str, password: &str) -> Result<(), AdminError> {
        let (name, password) = (UserName::parse(name)?, Password::parse(password)?);
        self.core.block_on(async {
            let hash = self.hash(&password);
            self.store.create_account(name.clone(), hash).await
        })?;
        tell(Event::UserAdded, Some(name.as_str()));
        Ok(())
    }

    /// Ends the account's sessions, and refuses its logins from now on. A running server notices within seconds.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn disable_user(&self, name: &str) -> Result<(), AdminError> {
        self.sentence(name, Sentence::Disable, Event::UserDisabled)
    }

    /// Lets a disabled account log in again.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn enable_user(&self, name: &str) -> Result<(), AdminError> {
        self.sentence(name, Sentence::Enable, Event::UserEnabled)
    }

    /// Replaces an account's password, and ends its sessions.
    ///
    /// # Errors
    /// Where there is no such account, or the password is none.
    pub fn reset_password(&self, name: &str, password: &str) -> Result<(), AdminError> {
        let password = Password::parse(password)?;
        let hash = self.hash(&password);
        self.sentence(name, Sentence::NewPassword(hash), Event::PasswordReset)
    }

    /// Deletes an account that owns no rooms, as its owner may. A running server ends its streams within seconds, and
    /// forgets its name.
    ///
    /// # Errors
    /// Where there is no such account, or it owns rooms.
    pub fn delete_user(&self, name: &str) -> Result<(), AdminError> {
        self.of_user(name, |name| self.store.remove_account(name))?;
        tell(Event::AccountDeleted, Some(name));
        Ok(())
    }

    /// Calls `each` with every account, until it fails.
    ///
    /// # Errors
    /// Where the database fails, and whatever `each` ends with.
    pub fn users<E: From<AdminError>>(
        &self,
        mut each: impl FnMut(&AccountRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = UserId(0);
        loop {
            let people =
                self.core.block_on(self.store.every_account(after, PAGE)).map_err(AdminError::from)?;
            people.iter().try_for_each(&mut each)?;
            match people.last() {
                Some(last) => after = last.account.id,
                None => return Ok(()),
            }
        }
    }

    /// Returns an account, and the rooms that it owns.
    ///
    /// # Errors
    /// Where there is no such account.
    pub fn user(&self, name: &str) -> Result<(AccountRecord, Vec<Room>), AdminError> {
        self.of_user(name, |name| self.store.person(name))
    }

    /// Calls `each` with every room, until it fails.
    ///
    /// # Errors
    /// Where the database fails, and whatever `each` ends with.
    pub fn rooms<E: From<AdminError>>(&self, mut each: impl FnMut(&Room) -> Result<(), E>) -> Result<(), E> {
        let mut after = RoomId(0);
        loop {
            let rooms = self.core.block_on(self.store.every_room(after, PAGE)).map_err(AdminError::from)?;
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
        Ok(self.core.block_on(self.store.room_by_code(&code))?.room)
    }

    /// Deletes a room. A running server ends its streams within seconds, and removes its messages.
    ///
    /// # Errors
    /// Where there is no such room.
    pub fn delete_room(&self, code: &str) -> Result<(), AdminError> {
        let code = ShortCode::parse(code)?;
        let room = self.core.block_on(async {
            let record = self.store.room_by_code(&code).await?;
            self.store.delete_room(record.room.id).await?;
            Ok::<_, Error>(record.room.id)
        })?;
        Entry { room: Some(room), uid: Some(uid()), ..Entry::default() }.tell(Event::RoomDeleted);
        Ok(())
    }

    /// Copies the database into a file, which must not be there yet.
    ///
    /// # Errors
    /// Where the file cannot be made, or the database is PostgreSQL.
    pub fn backup(database: &DatabaseUrl, path: &Path) -> Result<(), AdminError> {
        if matches!(database, DatabaseUrl::Postgres(_)) {
            return Err(AdminError::UsePgDump);
        }
        let admin = Self::open(database)?;
        let failed = |cause| AdminError::Backup { path: path.to_owned(), cause };
        // It holds what the database holds: nobody else may read it.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let copied = admin.core.block_on(admin.store.copy_into(path)).map_err(AdminError::from);
        let copied = copied.and_then(|()| sync(&file, path).map_err(failed));
        if copied.is_err() {
            // Half a backup must not be taken for one.
            drop(std::fs::remove_file(path));
        } else {
            tell(Event::BackupMade, None);
        }
        copied
    }

    /// Brings the database to this program's version. Nothing may serve from it meanwhile.
    ///
    /// # Errors
    /// Where a server uses it, or it is newer.
    pub fn migrate(config: &Config) -> Result<(), AdminError> {
        let _held = DataDir::claim(&config.data_dir).map_err(StartError::from)?;
        let migrated = core()?.block_on(async {
            let store = Store::connect(&config.database, Clock::system()).await?;
            let migrated = store.migrate(&config.database).await?;
            store.close().await;
            Ok(migrated)
        });
        if migrated.map_err(StartError::of(&config.database))?.has_changed {
            tell(Event::Migrated, None);
        }
        Ok(())
    }

    /// Looks at the database as a server does when it starts, and changes nothing. Says what the server would do first.
    ///
    /// # Errors
    /// Why a server could not serve from it.
    pub fn check(config: &Config) -> Result<&'static str, AdminError> {
        Store::may_serve(&config.database, &config.data_dir).map_err(StartError::of(&config.database))?;
        match Self::open(&config.database) {
            Ok(_) => Ok("the database can be served from"),
            Err(AdminError::Start(StartError::Database { cause: SetupError::Absent(_), .. })) => {
                Ok("there is no database yet: the server makes it")
            }
            Err(AdminError::Start(StartError::Database { cause: SetupError::Older(_), .. })) => {
                Ok("the database is an older version's, or empty: the server brings it to this one")
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a secret that signs tokens.
    pub fn new_secret() -> String {
        Secret::generate(&Clock::system()).expose().to_owned()
    }

    fn sentence(&self, name: &str, sentence: Sentence, event: Event) -> Result<(), AdminError> {
        self.of_user(name, |name| self.store.sentence(name, sentence))?;
        tell(event, Some(name));
        Ok(())
    }

    /// Does something with the account of this name, which the error gives where there is none.
    fn of_user<T, Done: Future<Output = Result<T, Error>>>(
        &self,
        name: &str,
        act: impl FnOnce(UserName) -> Done,
    ) -> Result<T, AdminError> {
        let none = || AdminError::NoSuchUser(name.to_owned());
        self.core.block_on(act(UserName::lookup(name).ok_or_else(none)?)).map_err(|error| match error {
            // In the server's words it is somebody who is not in a room.
            Error::UserNotFound => none(),
            error => error.into(),
        })
    }

    fn hash(&self, password: &Password) -> String {
        Passwords::hash_here(&self.clock, password.expose())
    }
}

/// Writes what an operator did, and as which of the system's users.
fn tell(event: Event, user: Option<&str>) {
    Entry { uid: Some(uid()), user, ..Entry::default() }.tell(event);
}

fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

fn core() -> Result<Runtime, StartError> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(StartError::Runtime)
}

/// Has a file and its name survive a crash.
fn sync(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
