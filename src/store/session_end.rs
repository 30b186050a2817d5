//! Deletes sessions. Everything that ends a session uses this function.

use grpcchatter_entity::session;
use sea_orm::{
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Condition, IntoCondition},
};
use uuid::Uuid;

use super::{failure::DbResult, transaction::Transaction};
use crate::model::SessionId;

/// Ends the sessions that `which` selects, and returns them. They are locked by rising id, as the log locks the sessions
/// of its authors, so the two cannot deadlock. The lock waits for a transaction that holds a session: a batch until its
/// commit, or a refresh.
///
/// If `which` selects by user, the transaction must hold the account's row lock, as a log-in does, so that no session is
/// added meanwhile.
pub(super) async fn end_sessions(
    transaction: &Transaction,
    which: impl IntoCondition,
) -> DbResult<Vec<SessionId>> {
    let which: Condition = which.into_condition();
    let ended: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(which.clone())
        .order_by_asc(session::Column::Id)
        .lock_exclusive()
        .into_tuple()
        .all(transaction)
        .await?;
    if !ended.is_empty() {
        session::Entity::delete_many().filter(which).exec(transaction).await?;
    }
    Ok(ended.into_iter().map(SessionId).collect())
}
