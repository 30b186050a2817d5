//! Tests of the memberships that a lane remembers over a failover.

use super::{
    draft::Deduplicate,
    tests::{deadline, draft, only_lane},
};
use crate::{
    clock::Clock,
    model::Error,
    store::temporary::{TemporaryDatabase, TemporaryStore},
};

#[tokio::test]
async fn a_transaction_that_meets_another_server_trusts_no_membership_of_the_last_one() {
    let Some(database) = TemporaryDatabase::postgres().await else { return };
    let store = TemporaryStore::open(database, Clock::system()).await;
    let room = store.room("aaaaaa").await;
    let member = store.member("walker1", &room).await;
    let mut lane = only_lane(&store).await;
    let drafts = [draft(&member, None, "am I in?")];
    let receipts = lane.append(&drafts, deadline()).await.receipts;
    assert!(matches!(receipts[..], [Some(Ok(_))]), "{receipts:?}");

    // As after the loss of the membership and of its epoch.
    store.execute("DELETE FROM members").await;
    store.meet_another_server();
    lane.server = store.server_number();
    let (_, outcome, _) = lane.stage(&drafts, &[0], Deduplicate::ByIndex).await.unwrap();
    assert_ne!(lane.server, store.server_number(), "the transaction has met the server");
    assert!(matches!(outcome.receipts[..], [(0, Err(Error::NotAMember(_)))]), "{outcome:?}");
}
