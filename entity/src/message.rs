//! Messages: the log.

use sea_orm::entity::prelude::*;

/// A message at its place in a room's log.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    /// The room.
    #[sea_orm(primary_key, auto_increment = false)]
    pub room_id: i64,
    /// Its place: 1, 2, 3 … without a gap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// Its id, a UUIDv7.
    pub message_id: Uuid,
    /// Its author.
    pub user_id: i64,
    /// What was said.
    pub body: String,
    /// When it was stored.
    pub created_at: i64,
    /// What its author called it; NULL where they did not say.
    pub client_message_id: Option<String>,
}

/// None are declared: the store writes its joins where it needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
