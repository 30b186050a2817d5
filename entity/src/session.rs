//! Sessions: one a log-in. A row is there while the session lives, and its removal is the end of all that rests on it.

use sea_orm::entity::prelude::*;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// Its id, a UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The account that logged in.
    pub user_id: i64,
    /// SHA-256 of the present refresh token.
    #[sea_orm(unique)]
    pub refresh_hash: Vec<u8>,
    /// SHA-256 of the refresh token before it.
    #[sea_orm(unique)]
    pub previous_hash: Option<Vec<u8>>,
    /// How often it was refreshed.
    pub generation: i64,
    /// When it was refreshed last, or made.
    pub refreshed_at: i64,
    /// When it ends unless it is refreshed before.
    pub expires_at: i64,
}

/// None are declared: the store writes its joins where it needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
