//! A user's account.

use super::{
    text::UserName,
    timestamp::Timestamp,
    user::{Role, UserId},
};

/// An account as its owner sees it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id.
    pub id: UserId,
    /// Its unique, case-sensitive name.
    pub user_name: UserName,
    /// Its role.
    pub role: Role,
    /// When it was registered.
    pub created_at: Timestamp,
}
