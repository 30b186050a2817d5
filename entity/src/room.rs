//! Rooms.

use sea_orm::entity::prelude::*;

/// A room and the head of its log.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rooms")]
pub struct Model {
    /// Its id; never reused.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What people type to enter it.
    #[sea_orm(unique)]
    pub short_code: String,
    /// Its name; may be empty.
    pub name: String,
    /// A PHC string of argon2id; none where the short code is enough.
    pub password_hash: Option<String>,
    /// The account that owns it.
    pub owner_id: i64,
    /// When it was made.
    pub created_at: i64,
    /// When its newest message was stored, or when it was made.
    pub active_at: i64,
    /// seq of its newest message; 0 while there is none.
    pub last_seq: i64,
    /// Id of its newest message.
    pub last_message_id: Option<Uuid>,
    /// seq of the oldest message that is kept; 1 where nothing was removed yet.
    pub first_seq: i64,
    /// Rises with every new password: tokens that say a smaller one are dead.
    pub epoch: i64,
    /// Rises whenever a membership ends: what was checked of them before is checked again. Sessions end without it, and
    /// with them what a deleted account was a member of.
    pub members_epoch: i64,
}

/// None are declared: the store writes its joins where it needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
