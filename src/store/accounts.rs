//! Creates, finds, changes and deletes accounts.

use grpcchatter_entity::{
    account::{self, ConfusableKeys},
    member, room, session,
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    DbResult, Failure, Store, account_row::record_deletion, session_end::end_sessions,
    transaction::Transaction,
};
use crate::model::{Account, Error, Result, Role, SessionId, UserId, UserName};

/// An account and its password hash.
#[derive(Clone)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// The stored hash. A caller that verified a password against it passes it to the next call, which is refused if the
    /// hash has changed meanwhile.
    pub password_hash: String,
}

impl Store {
    /// Creates an account. The unique indexes decide whether its name is free.
    ///
    /// # Errors
    /// [`Error::UserNameTaken`], also if another name looks the same; failures of the database.
    pub async fn create_account(&self, user_name: UserName, password_hash: String) -> Result<Account> {
        let store = self.clone();
        self.writing("create account", async move {
            let created_at = store.clock().now();
            let keys = ConfusableKeys::of(user_name.as_str());
            let row = account::ActiveModel {
                id: NotSet,
                user_name: Set(user_name.as_str().to_owned()),
                name_skeleton: Set(Some(keys.skeleton)),
                name_folded: Set(Some(keys.folded)),
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

    /// Finds an account by its name. Disabled and deleted accounts are not found.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn find_credentials(&self, user_name: UserName) -> Result<Option<Credentials>> {
        let store = self.clone();
        self.reading("find account", async move {
            let row = find_by_name(store.reader(), &user_name).await?;
            Ok(row.filter(|row| row.disabled_at.is_none()).map(Credentials::from))
        })
        .await
    }

    /// Returns the bcrypt hash of any account that still has one, as the original made them.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn find_bcrypt_hash(&self) -> Result<Option<String>> {
        let store = self.clone();
        self.on_core("find a bcrypt hash", async move {
            let row = account::Entity::find()
                .filter(account::Column::PasswordHash.starts_with("$2"))
                .one(store.reader())
                .await?;
            Ok(row.map(|row| row.password_hash))
        })
        .await
    }

    /// Finds an account by its id. Disabled and deleted accounts are not found.
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

    /// Replaces a password, and ends every session of the account except `kept`. Returns the ended sessions.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] if `verified_hash` is no longer the account's; failures of the database.
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

    /// Deletes an account: its name is erased, its messages stay without a name, it leaves its rooms, and its sessions end.
    /// Returns the sessions.
    ///
    /// # Errors
    /// [`Error::OwnsRooms`]; [`Error::InvalidCredentials`] if `verified_hash` is no longer the account's; failures of the
    /// database.
    pub async fn delete_account(&self, user: UserId, verified_hash: String) -> Result<Vec<SessionId>> {
        let store = self.clone();
        self.writing("delete account", async move {
            let transaction = store.begin().await?;
            let ended = delete(&store, &transaction, user, Some(&verified_hash)).await?;
            let ended = ended.ok_or(Error::InvalidCredentials)?;
            transaction.commit().await?;
            Ok(ended)
        })
        .await
    }
}

/// Deletes an account, and returns its sessions, which end. Returns `None` if there is no such account, or its password
/// hash is not the verified one.
pub(super) async fn delete(
    store: &Store,
    transaction: &Transaction,
    user: UserId,
    verified_hash: Option<&str>,
) -> DbResult<Option<Vec<SessionId>>> {
    // Waits for transactions that create or enter a room: their rows will refer to this account.
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
        // No account can have this name: a user name has no colon.
        .col_expr(account::Column::UserName, Expr::value(format!("deleted:{}", store.clock().uuid())))
        .col_expr(account::Column::NameSkeleton, Expr::value(None::<String>))
        .col_expr(account::Column::NameFolded, Expr::value(None::<String>))
        .filter(account::Column::Id.eq(user.0))
        .exec(transaction)
        .await?;
    let ended = end_sessions(transaction, session::Column::UserId.eq(user.0)).await?;
    // No room's epoch needs to rise: the account has no session any more, and every chat token needs one.
    member::Entity::update_many()
        .col_expr(member::Column::Joined, Expr::value(false))
        .col_expr(member::Column::Epoch, Expr::col(member::Column::Epoch).add(1))
        .filter(member::Column::UserId.eq(user.0))
        .filter(member::Column::Joined.eq(true))
        .exec(transaction)
        .await?;
    record_deletion(store, transaction).await?;
    Ok(Some(ended))
}

/// Finds an account by its name, first in the given spelling, then in NFC. Names from before the rule for NFC, and those
/// migrated from the original, are stored as they were given. Deleted accounts are not found.
pub(super) async fn find_by_name(
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
        Self { password_hash: row.password_hash.clone(), account: Account::from(row) }
    }
}
