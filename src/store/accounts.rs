use grpcchatter_entity::{
    account::{self, Likeness},
    member, room, session,
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    DbResult, Failure, Store, people::note_deletion, sessions::end_sessions, transaction::Transaction,
};
use crate::model::{Account, Error, Result, Role, SessionId, Timestamp, UserId, UserName};

/// An account together with what its password is checked against.
#[derive(Clone)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// The stored hash; whoever verified a password against it says so in the next step, which is refused
    /// where it has changed meanwhile.
    pub password_hash: String,
}

impl Store {
    /// Adds an account. The unique indexes decide about its name.
    ///
    /// # Errors
    /// [`Error::UserNameTaken`], also by a name that looks the same; failures of the database.
    pub async fn create_account(&self, user_name: UserName, password_hash: String) -> Result<Account> {
        let store = self.clone();
        self.writing("create account", async move {
            let created_at = store.clock().now();
            let likeness = Likeness::of(user_name.as_str());
            let row = account::ActiveModel {
                id: NotSet,
                user_name: Set(user_name.as_str().to_owned()),
                name_skeleton: Set(Some(likeness.skeleton)),
                name_folded: Set(Some(likeness.folded)),
                password_hash: Set(password_hash),
                role: Set(Role::User.as_str().to_owned()),
                created_at: Set(created_at.as_micros()),
                disabled_at: Set(None),
                deleted_at: Set(None),
            };
            let transaction = store.begin().await?;
            match account::Entity::insert(row).exec(&transaction).await.map_err(Failure::from) {
                Ok(inserted) => {
                    transaction.commit().await?;
                    let id = UserId(inserted.last_insert_id);
                    Ok(Account { id, user_name, role: Role::User, created_at })
                }
                Err(failure) if failure.is_unique_violation() => Err(Error::UserNameTaken.into()),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    /// Finds an account that can log in by its name; a disabled or deleted one is not there.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn find_credentials(&self, user_name: UserName) -> Result<Option<Credentials>> {
        let store = self.clone();
        self.reading("find account", async move {
            let row = named(store.reader(), &user_name).await?;
            Ok(row.filter(|row| row.disabled_at.is_none()).map(Credentials::from))
        })
        .await
    }

    /// Returns the hash of some account whose password is still hashed as the original did, by bcrypt.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn find_bcrypt_hash(&self) -> Result<Option<String>> {
        let store = self.clone();
        self.on_core("find a hash of bcrypt", async move {
            let row = account::Entity::find()
                .filter(account::Column::PasswordHash.starts_with("$2"))
                .one(store.reader())
                .await?;
            Ok(row.map(|row| row.password_hash))
        })
        .await
    }

    /// Finds an account that can log in by its id.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn find_account(&self, user: UserId) -> Result<Option<Credentials>> {
        let store = self.clone();
        self.reading("find account", async move {
            let row = account::Entity::find_by_id(user.0)
                .filter(account::Column::DisabledAt.is_null())
                .filter(account::Column::DeletedAt.is_null())
                .one(store.reader())
                .await?;
            Ok(row.map(Credentials::from))
        })
        .await
    }

    /// Replaces a password, and ends every session of the account but `kept`. Returns those that have ended.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] where `verified_hash` is not the account's any more; failures of the
    /// database.
    pub async fn change_password(
        &self,
        user: UserId,
        verified_hash: String,
        new_hash: String,
        kept: SessionId,
    ) -> Result<Vec<SessionId>> {
        let store = self.clone();
        self.writing("change password", async move {
            let transaction = store.begin().await?;
            let changed = account::Entity::update_many()
                .col_expr(account::Column::PasswordHash, Expr::value(new_hash))
                .filter(account::Column::Id.eq(user.0))
                .filter(account::Column::PasswordHash.eq(verified_hash))
                .filter(account::Column::DeletedAt.is_null())
                .exec(&transaction)
                .await?;
            if changed.rows_affected == 0 {
                return Err(Error::InvalidCredentials.into());
            }
            let others = session::Column::UserId.eq(user.0).and(session::Column::Id.ne(kept.0));
            let ended = end_sessions(&transaction, others).await?;
            transaction.commit().await?;
            Ok(ended)
        })
        .await
    }

    /// Deletes an account: its name is forgotten, its messages stay without one, it leaves its rooms and its sessions
    /// end. Returns the sessions.
    ///
    /// # Errors
    /// [`Error::OwnsRooms`]; [`Error::InvalidCredentials`] where `verified_hash` is not the account's any
    /// more; failures of the database.
    pub async fn delete_account(&self, user: UserId, verified_hash: String) -> Result<Vec<SessionId>> {
        let store = self.clone();
        self.writing("delete account", async move {
            let transaction = store.begin().await?;
            let ended = forget(&store, &transaction, user, Some(&verified_hash)).await?;
            let ended = ended.ok_or(Error::InvalidCredentials)?;
            transaction.commit().await?;
            Ok(ended)
        })
        .await
    }
}

/// Deletes an account, and returns its sessions, which end; none where there is no such account, or its password is not the
/// verified one any more.
pub(super) async fn forget(
    store: &Store,
    transaction: &Transaction,
    user: UserId,
    verified_hash: Option<&str>,
) -> DbResult<Option<Vec<SessionId>>> {
    // The lock waits for rooms that are being made or entered: their rows refer to this one.
    let row = account::Entity::find_by_id(user.0)
        .filter(account::Column::DeletedAt.is_null())
        .lock_exclusive()
        .one(transaction)
        .await?;
    if row.is_none_or(|row| verified_hash.is_some_and(|hash| row.password_hash != hash)) {
        return Ok(None);
    }
    let owned = room::Entity::find().filter(room::Column::OwnerId.eq(user.0)).count(transaction).await?;
    if owned > 0 {
        return Err(Error::OwnsRooms.into());
    }
    account::Entity::update_many()
        .col_expr(account::Column::DeletedAt, Expr::value(store.clock().now().as_micros()))
        .col_expr(account::Column::PasswordHash, Expr::value(""))
        // No account can have this name: a colon is a special character.
        .col_expr(account::Column::UserName, Expr::value(format!("deleted:{}", store.clock().uuid())))
        .col_expr(account::Column::NameSkeleton, Expr::value(None::<String>))
        .col_expr(account::Column::NameFolded, Expr::value(None::<String>))
        .filter(account::Column::Id.eq(user.0))
        .exec(transaction)
        .await?;
    let ended = end_sessions(transaction, session::Column::UserId.eq(user.0)).await?;
    // No epoch of a room rises: nothing of this account stands without a session, and it gets no other.
    member::Entity::update_many()
        .col_expr(member::Column::Joined, Expr::value(false))
        .col_expr(member::Column::Epoch, Expr::col(member::Column::Epoch).add(1))
        .filter(member::Column::UserId.eq(user.0))
        .filter(member::Column::Joined.eq(true))
        .exec(transaction)
        .await?;
    note_deletion(store, transaction).await?;
    Ok(Some(ended))
}

/// Finds an account that is not deleted by its name: who has it byte for byte, else who has it in NFC. Names from before the
/// rule, and those taken over from the original, are as they were given.
pub(super) async fn named(
    connection: &impl ConnectionTrait,
    name: &UserName,
) -> DbResult<Option<account::Model>> {
    let spellings = [name.clone(), name.composed()];
    let mut rows = account::Entity::find()
        .filter(account::Column::UserName.is_in(spellings.iter().map(UserName::as_str)))
        .filter(account::Column::DeletedAt.is_null())
        .all(connection)
        .await?;
    let exact = rows.iter().position(|row| row.user_name == name.as_str()).unwrap_or(0);
    Ok((exact < rows.len()).then(|| rows.swap_remove(exact)))
}

impl From<account::Model> for Credentials {
    fn from(row: account::Model) -> Self {
        Self { password_hash: row.password_hash.clone(), account: to_account(row) }
    }
}

pub(super) fn to_account(row: account::Model) -> Account {
    Account {
        id: UserId(row.id),
        user_name: UserName::trusted(row.user_name),
        role: Role::from_name(&row.role),
        created_at: Timestamp::from_micros(row.created_at),
    }
}
