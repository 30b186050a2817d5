//! Accounts. A row is never removed, so that its messages keep their place; a deleted account's has no name.

use sea_orm::entity::prelude::*;
use unicode_normalization::UnicodeNormalization as _;
use unicode_security::skeleton;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "accounts")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its name, case-sensitive. After the account was deleted, what no name can be.
    #[sea_orm(unique)]
    pub user_name: String,
    /// What [`Likeness::skeleton`] says of the name. None where an older account looks the same, and for deleted ones.
    #[sea_orm(unique)]
    pub name_skeleton: Option<String>,
    /// What [`Likeness::folded`] says of the name, and none where `name_skeleton` would be.
    #[sea_orm(unique)]
    pub name_folded: Option<String>,
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

/// By what two names are taken for one another. Either is unique among accounts: one alone would miss some, since what is
/// confused in capitals is not what is confused in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likeness {
    /// The same for names that look alike: the skeleton of UTS 39, without regard to case.
    pub skeleton: String,
    /// The same for names that differ in case, or in the form of a character.
    pub folded: String,
}

impl Likeness {
    /// Tells a name's.
    pub fn of(name: &str) -> Self {
        let composed: String = name.nfc().collect();
        let plain: String = name.nfkc().collect();
        // What UTS 39 does for `rn` and `m` it leaves out for `vv` and `w`: both become the longer one.
        let skeleton = fold(&skeleton(&composed).collect::<String>()).replace('w', "vv");
        Self { skeleton, folded: fold(&plain) }
    }
}

/// Folds case. By way of the capitals, as `ß` and `SS`, `ς` and `σ` are told alike by them alone.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::Likeness;

    fn alike(one: &str, other: &str) -> bool {
        let (one, other) = (Likeness::of(one), Likeness::of(other));
        one.skeleton == other.skeleton || one.folded == other.folded
    }

    #[test]
    fn what_looks_the_same_is_alike() {
        for twin in [
            "walker1",
            "Walker1",
            "WALKER1",
            "walkerl",
            "wa1ker1",
            "waIker1",
            "w\u{430}lker1",
            "walk\u{200b}er1",
            "walk\u{ad}er1",
            "walker1\u{3164}",
            "\u{ff57}alker1",
            "walker\u{1d7cf}",
        ] {
            assert!(alike("walker1", twin), "{twin:?}");
        }
        for (one, other) in [
            ("caf\u{e9}01", "cafe\u{301}01"),
            ("stra\u{df}e1", "STRASSE1"),
            ("Нина01", "НИНА01"),
            ("АННА01", "AHHA01"),
            ("νανν01", "vavv01"),
            ("warner1", "wamer1"),
            ("walker1", "vvalker1"),
            ("WALKER1", "\u{475}Valker1"),
            ("owvs01", "ovws01"),
            ("ΟΔΟΣ01", "οδος01"),
        ] {
            assert!(alike(one, other), "{one} {other}");
        }
    }

    #[test]
    fn what_differs_is_not() {
        for (one, other) in [
            ("walker1", "walker2"),
            ("alice1", "allce1"),
            ("walker00010", "walker00001"),
            ("user1", "user11"),
            ("été123", "ete123"),
            ("東京0001", "京都0001"),
        ] {
            assert!(!alike(one, other), "{one} {other}");
        }
    }
}
