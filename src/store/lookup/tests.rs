//! Tests of finding rooms and users.

use super::*;
use crate::{
    clock::Clock,
    model::Rejoin,
    store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
};

on_each_database! {
    a_room_is_found_with_the_users_membership,
    a_user_is_found_with_their_membership_of_the_room,
    banning_nobody_writes_no_row,
}

async fn a_room_is_found_with_the_users_membership(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let (room, other) = (store.room("aaaaaa").await, store.room("bbbbbb").await);
    let member = store.member("walker1", &room).await.user;
    let find = async |code: &str, user| store.find_room(&ShortCode::trusted(code), user).await.unwrap();
    let found = find("aaaaaa", member).await.unwrap();
    assert_eq!(found.record.room.id, room.id);
    assert!(found.membership.is_some_and(|member| member.joined && !member.banned));
    assert!(find("bbbbbb", member).await.unwrap().membership.is_none());
    assert!(find("cccccc", member).await.is_none());
    assert!(store.end_membership(other.id, Some(member), Rejoin::Banned).await.unwrap());
    let banned = find("bbbbbb", member).await.unwrap().membership;
    assert!(banned.is_some_and(|member| !member.joined && member.banned));
    assert!(
        !store.end_membership(other.id, Some(member), Rejoin::Banned).await.unwrap(),
        "they are banned already"
    );
    assert_eq!(find("bbbbbb", member).await.unwrap().membership.map(|it| it.banned), Some(true));
    assert!(store.unban(other.id, Some(member)).await.unwrap());
    assert!(!store.unban(other.id, Some(member)).await.unwrap(), "they are banned no more");
}

async fn a_user_is_found_with_their_membership_of_the_room(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let (room, other) = (store.room("aaaaaa").await, store.room("bbbbbb").await);
    let member = store.member("walker1", &room).await.user;
    let find = async |name: &str, room| store.find_user(&UserName::trusted(name), room).await.unwrap();
    let found = find("walker1", room.id).await.unwrap();
    assert_eq!(found.user, member);
    assert!(found.membership.is_some_and(|member| member.joined));
    assert!(find("walker1", other.id).await.unwrap().membership.is_none());
    assert!(find("walker2", room.id).await.is_none());
    store.delete_account(member, "hash".into()).await.unwrap();
    assert!(find("walker1", room.id).await.is_none(), "a deleted account is not there");
}

async fn banning_nobody_writes_no_row(database: TemporaryDatabase) {
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    assert!(!store.end_membership(room.id, None, Rejoin::Banned).await.unwrap());
    let count = Statement::from_string(store.backend(), "SELECT count(*) AS members FROM members");
    let row = store.reader().query_one_raw(count).await.unwrap().unwrap();
    assert_eq!(row.try_get::<i64>("", "members").unwrap(), 0);
}
