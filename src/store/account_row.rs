//! Converts rows of accounts, and records the last deletion of one.

use grpcchatter_entity::{account, meta};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait as _, sea_query::OnConflict};

use super::{database::Store, failure::DbResult};
use crate::model::{Account, Role, Timestamp, UserId, UserName};

impl From<account::Model> for Account {
    fn from(row: account::Model) -> Self {
        Self {
            id: UserId(row.id),
            user_name: UserName::trusted(row.user_name),
            role: Role::from_name(&row.role),
            created_at: Timestamp::from_micros(row.created_at),
        }
    }
}

/// The fact that changes with every deletion of an account. A server that caches names drops them when it changes.
pub(super) const LAST_DELETION: &str = "last_deletion";

/// Records that an account is deleted.
pub(super) async fn record_deletion(store: &Store, transaction: &impl ConnectionTrait) -> DbResult<()> {
    let (name, value) = (Set(LAST_DELETION.to_owned()), Set(store.clock().uuid().to_string()));
    let newest = OnConflict::column(meta::Column::Name).update_column(meta::Column::Value).to_owned();
    let fact = meta::Entity::insert(meta::ActiveModel { name, value }).on_conflict(newest);
    fact.exec_without_returning(transaction).await?;
    Ok(())
}
