//! Accounts. A row is never deleted, since messages refer to it; a deleted account's row has no name.

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
    /// Its name, case-sensitive. A deleted account gets a text that no name can be.
    #[sea_orm(unique)]
    pub user_name: String,
    /// [`ConfusableKeys::skeleton`] of the name. NULL if an older account has it, and for a deleted account.
    #[sea_orm(unique)]
    pub name_skeleton: Option<String>,
    /// [`ConfusableKeys::folded`] of the name. NULL as `name_skeleton` is.
    #[sea_orm(unique)]
    pub name_folded: Option<String>,
    /// A PHC string of argon2id, or a bcrypt hash that was migrated from the original.
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

/// Empty: the store writes its own joins.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The keys by which confusable names are found. Each is unique among accounts. One alone would miss some names, since
/// capitals are confused with other characters than small letters are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusableKeys {
    /// Equal for names that look alike: the skeleton of UTS 39, case-folded.
    pub skeleton: String,
    /// Equal for names that differ in case, or in the form of a character: NFKC, case-folded.
    pub folded: String,
}

impl ConfusableKeys {
    /// Computes the keys of a name.
    pub fn of(name: &str) -> Self {
        let composed: String = name.nfc().collect();
        let plain: String = name.nfkc().collect();
        // UTS 39 maps `m` to `rn`, but not `w` to `vv`.
        let skeleton = fold(&skeleton(&composed).collect::<String>()).replace('w', "vv");
        Self { skeleton, folded: fold(&plain) }
    }
}

/// Folds case. Through upper case, since only that makes `ß` equal to `SS` and `ς` to `σ`.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::ConfusableKeys;

    fn is_confusable(one: &str, other: &str) -> bool {
        let (one, other) = (ConfusableKeys::of(one), ConfusableKeys::of(other));
        one.skeleton == other.skeleton || one.folded == other.folded
    }

    #[test]
    fn names_that_look_the_same_are_confusable() {
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
            assert!(is_confusable("walker1", twin), "{twin:?}");
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
            assert!(is_confusable(one, other), "{one} {other}");
        }
    }

    #[test]
    fn names_that_differ_are_not_confusable() {
        for (one, other) in [
            ("walker1", "walker2"),
            ("alice1", "allce1"),
            ("walker00010", "walker00001"),
            ("user1", "user11"),
            ("été123", "ete123"),
            ("東京0001", "京都0001"),
        ] {
            assert!(!is_confusable(one, other), "{one} {other}");
        }
    }
}
