//! Operator commands about accounts.

use grpcchatter_entity::meta;
use sea_orm::{EntityTrait as _, FromQueryResult, Statement};

use super::{
    Store,
    account_row::LAST_DELETION,
    accounts::{delete, find_by_name},
    rooms::{RoomRow, SELECT_ROOM},
};
use crate::model::{Account, Error, Result, Role, Room, Timestamp, UserId, UserName};

/// An account as an operator sees it.
#[derive(Clone, Debug)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// When an operator disabled it.
    pub disabled_at: Option<Timestamp>,
    /// Number of rooms that it owns.
    pub rooms: i64,
    /// Number of its sessions.
    pub sessions: i64,
}

#[derive(FromQueryResult)]
struct RecordRow {
    id: i64,
    user_name: String,
    role: String,
    created_at: i64,
    disabled_at: Option<i64>,
    rooms: i64,
    sessions: i64,
}

const ACCOUNT_RECORD: &str = "SELECT a.id, a.user_name, a.role, a.created_at, a.disabled_at, \
     (SELECT count(*) FROM rooms r WHERE r.owner_id = a.id) AS rooms, \
     (SELECT count(*) FROM sessions s WHERE s.user_id = a.id) AS sessions \
     FROM accounts a WHERE a.deleted_at IS NULL";

impl From<RecordRow> for AccountRecord {
    fn from(found: RecordRow) -> Self {
        let account = Account {
            id: UserId(found.id),
            user_name: UserName::trusted(found.user_name),
            role: Role::from_name(&found.role),
            created_at: Timestamp::from_micros(found.created_at),
        };
        let disabled_at = found.disabled_at.map(Timestamp::from_micros);
        Self { account, disabled_at, rooms: found.rooms, sessions: found.sessions }
    }
}

impl Store {
    /// Lists accounts by rising id: up to `size`, after the account `after`.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn list_accounts(&self, after: UserId, size: i64) -> Result<Vec<AccountRecord>> {
        let store = self.clone();
        self.on_core("list every account", async move {
            let sql = format!("{ACCOUNT_RECORD} AND a.id > $1 ORDER BY a.id LIMIT $2");
            let statement =
                Statement::from_sql_and_values(store.backend(), sql, [after.0.into(), size.into()]);
            let found = RecordRow::find_by_statement(statement).all(store.reader()).await?;
            Ok(found.into_iter().map(AccountRecord::from).collect())
        })
        .await
    }

    /// Returns an account and the rooms that it owns.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; failures of the database.
    pub async fn account_record(&self, name: UserName) -> Result<(AccountRecord, Vec<Room>)> {
        let store = self.clone();
        self.on_core("look at an account", async move {
            let row = find_by_name(store.reader(), &name).await?.ok_or(Error::UserNotFound)?;
            let account = Account::from(row);
            let of =
                |sql: String| Statement::from_sql_and_values(store.backend(), sql, [account.id.0.into()]);
            let record = RecordRow::find_by_statement(of(format!("{ACCOUNT_RECORD} AND a.id = $1")));
            let record = record.one(store.reader()).await?.ok_or(Error::UserNotFound)?;
            let rooms =
                RoomRow::find_by_statement(of(format!("{SELECT_ROOM} WHERE r.owner_id = $1 ORDER BY r.id")));
            let rooms = rooms.all(store.reader()).await?;
            Ok((record.into(), rooms.into_iter().map(|row| row.into_record().room).collect()))
        })
        .await
    }

    /// Deletes an account without its password. The effect is that of [`Store::delete_account`].
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::OwnsRooms`]; failures of the database.
    pub async fn remove_account(&self, name: UserName) -> Result<()> {
        let store = self.clone();
        self.writing("remove an account", async move {
            let transaction = store.begin().await?;
            let row = find_by_name(&transaction, &name).await?.ok_or(Error::UserNotFound)?;
            delete(&store, &transaction, UserId(row.id), None).await?.ok_or(Error::UserNotFound)?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Returns a value that changes with every deletion of an account, by any process.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn last_deletion(&self) -> Result<Option<String>> {
        let store = self.clone();
        self.on_core("look for deleted accounts", async move {
            let row = meta::Entity::find_by_id(LAST_DELETION).one(store.reader()).await?;
            Ok(row.map(|row| row.value))
        })
        .await
    }
}
