//! Sessions: one for each log-in. Deleting the row ends the session, and with it every token that was made from it.

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
    /// SHA-256 of the current refresh token.
    #[sea_orm(unique)]
    pub refresh_hash: Vec<u8>,
    /// SHA-256 of the refresh token before it.
    #[sea_orm(unique)]
    pub previous_hash: Option<Vec<u8>>,
    /// Number of refreshes so far.
    pub generation: i64,
    /// Time of the last refresh, or of the log-in.
    pub refreshed_at: i64,
    /// When it ends unless it is refreshed.
    pub expires_at: i64,
}

/// Empty: the store writes its own joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
