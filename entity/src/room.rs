//! Rooms, each with the head of its log.

use sea_orm::entity::prelude::*;

/// A room and the head of its log.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rooms")]
pub struct Model {
    /// Its id; never reused.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The code by which users enter it.
    #[sea_orm(unique)]
    pub short_code: String,
    /// Its name; may be empty.
    pub name: String,
    /// A PHC string of argon2id; NULL for a room without a password.
    pub password_hash: Option<String>,
    /// The account that owns it.
    pub owner_id: i64,
    /// When it was created.
    pub created_at: i64,
    /// When its newest message was stored, or when it was created.
    pub active_at: i64,
    /// seq of its newest message; 0 while there is none.
    pub last_seq: i64,
    /// Id of its newest message.
    pub last_message_id: Option<Uuid>,
    /// seq of the oldest message that is kept; 1 if none was deleted yet.
    pub first_seq: i64,
    /// Rises with every new password. Tokens with a smaller one are invalid, except the owner's.
    pub epoch: i64,
    /// Rises whenever a membership ends: then the chat tokens of open streams are checked again. The end of a session does
    /// not raise it, nor does the deletion of an account, which ends all of the account's sessions.
    pub members_epoch: i64,
}

/// Empty: the store writes its own joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
