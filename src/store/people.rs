//! Accounts as an operator looks at them and deletes them, beside the server that uses the database.

use grpcchatter_entity::meta;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, EntityTrait as _, FromQueryResult, Statement, sea_query::OnConflict,
};

use super::{
    DbResult, Store,
    accounts::{forget, named, to_account},
    rooms::{Row, SELECT},
};
use crate::model::{Account, Error, Result, Role, Room, Timestamp, UserId, UserName};

/// An account with what an operator wants to know of it.
#[derive(Clone, Debug)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// When an operator disabled it.
    pub disabled_at: Option<Timestamp>,
    /// How many rooms it owns.
    pub rooms: i64,
    /// How many sessions it has.
    pub sessions: i64,
}

#[derive(FromQueryResult)]
struct Found {
    id: i64,
    user_name: String,
    role: String,
    created_at: i64,
    disabled_at: Option<i64>,
    rooms: i64,
    sessions: i64,
}

const PEOPLE: &str = "SELECT a.id, a.user_name, a.role, a.created_at, a.disabled_at, \
     (SELECT count(*) FROM rooms r WHERE r.owner_id = a.id) AS rooms, \
     (SELECT count(*) FROM sessions s WHERE s.user_id = a.id) AS sessions \
     FROM accounts a WHERE a.deleted_at IS NULL";

/// The fact that says when an account was deleted last: servers that hold its name in memory forget it.
const LAST_DELETION: &str = "last_deletion";

impl From<Found> for AccountRecord {
    fn from(found: Found) -> Self {
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
    /// Lists the accounts by rising id, `size` of them from after `after` on.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn every_account(&self, after: UserId, size: i64) -> Result<Vec<AccountRecord>> {
        let store = self.clone();
        self.on_core("list every account", async move {
            let sql = format!("{PEOPLE} AND a.id > $1 ORDER BY a.id LIMIT $2");
            let statement =
                Statement::from_sql_and_values(store.backend(), sql, [after.0.into(), size.into()]);
            let found = Found::find_by_statement(statement).all(store.reader()).await?;
            Ok(found.into_iter().map(AccountRecord::from).collect())
        })
        .await
    }

    /// Returns an account, and the rooms that it owns.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; failures of the database.
    pub async fn person(&self, name: UserName) -> Result<(AccountRecord, Vec<Room>)> {
        let store = self.clone();
        self.on_core("look at an account", async move {
            let row = named(store.reader(), &name).await?.ok_or(Error::UserNotFound)?;
            let account = to_account(row);
            let of =
                |sql: String| Statement::from_sql_and_values(store.backend(), sql, [account.id.0.into()]);
            let person = Found::find_by_statement(of(format!("{PEOPLE} AND a.id = $1")));
            let person = person.one(store.reader()).await?.ok_or(Error::UserNotFound)?;
            let rooms = Row::find_by_statement(of(format!("{SELECT} WHERE r.owner_id = $1 ORDER BY r.id")));
            let rooms = rooms.all(store.reader()).await?;
            Ok((person.into(), rooms.into_iter().map(|row| row.into_record().room).collect()))
        })
        .await
    }

    /// Deletes an account without its password, as its owner deletes it with that.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::OwnsRooms`]; failures of the database.
    pub async fn remove_account(&self, name: UserName) -> Result<()> {
        let store = self.clone();
        self.writing("remove an account", async move {
            let transaction = store.begin().await?;
            let row = named(&transaction, &name).await?.ok_or(Error::UserNotFound)?;
            forget(&store, &transaction, UserId(row.id), None).await?.ok_or(Error::UserNotFound)?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Returns what changes whenever an account is deleted, whoever does it.
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

/// Notes that an account is deleted.
pub(super) async fn note_deletion(store: &Store, transaction: &impl ConnectionTrait) -> DbResult<()> {
    let (name, value) = (Set(LAST_DELETION.to_owned()), Set(store.clock().uuid().to_string()));
    let newest = OnConflict::column(meta::Column::Name).update_column(meta::Column::Value).to_owned();
    let fact = meta::Entity::insert(meta::ActiveModel { name, value }).on_conflict(newest);
    fact.exec_without_returning(transaction).await?;
    Ok(())
}
