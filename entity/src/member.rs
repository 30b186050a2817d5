//! Members: one row for each user who ever entered a room, kept after they left so that epochs only rise.

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
    /// Whether they are a member now.
    pub joined: bool,
    /// Whether they may not come back.
    pub banned: bool,
    /// Rises when they leave, are removed or banned: chat tokens that say a smaller one are dead.
    pub epoch: i64,
    /// The room's epoch when they entered last: a new room password makes them show it again.
    pub room_epoch: i64,
    /// The room's last_seq when they entered last; the first Chat after it starts there and clears it.
    pub chat_from: Option<i64>,
    /// When they entered last.
    pub last_join: i64,
}

/// None are declared: the store writes its joins where it needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
