//! Accounts. A row is never removed, so that its name stays taken and its messages keep their place.

use sea_orm::entity::prelude::*;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "accounts")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its name, case-sensitive.
    #[sea_orm(unique)]
    pub user_name: String,
    /// A PHC string of argon2id, or a bcrypt hash that was taken over from the original.
    pub password_hash: String,
    /// `USER` or `ADMIN`.
    pub role: String,
    /// When it was registered.
    pub created_at: i64,
    /// When an operator disabled it; it cannot log in then.
    pub disabled_at: Option<i64>,
    /// When its owner deleted it.
    pub deleted_at: Option<i64>,
}

/// None are declared: the store writes its joins where it needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
