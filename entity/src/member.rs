//! Members: one row for each user who ever entered a room. It is kept after the user left, so that epochs only rise.

use sea_orm::entity::prelude::*;

/// A user in a room.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "members")]
pub struct Model {
    /// The room.
    #[sea_orm(primary_key, auto_increment = false)]
    pub room_id: i64,
    /// The user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// Whether the user is a member now.
    pub joined: bool,
    /// Whether the user may not come back.
    pub banned: bool,
    /// Rises when the user leaves, is removed or banned. Chat tokens with a smaller one are invalid.
    pub epoch: i64,
    /// The room's epoch when the user last entered. After a new room password the user has to give that password.
    pub room_epoch: i64,
    /// The room's `last_seq` when the user last entered. The first Chat since then starts after it and clears it.
    pub chat_from: Option<i64>,
    /// When the user last entered.
    pub last_join: i64,
}

/// Empty: the store writes its own joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
