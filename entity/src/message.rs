//! Messages: the logs of all rooms.

use sea_orm::entity::prelude::*;

/// A message in a room's log.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    /// The room.
    #[sea_orm(primary_key, auto_increment = false)]
    pub room_id: i64,
    /// Its number in the room: 1, 2, 3, ... without a gap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// Its id, a UUIDv7.
    pub message_id: Uuid,
    /// Its author.
    pub user_id: i64,
    /// The text.
    pub body: String,
    /// When it was stored.
    pub created_at: i64,
    /// The id that its author gave it; NULL if there is none.
    pub client_message_id: Option<String>,
}

/// Empty: the store writes its own joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
