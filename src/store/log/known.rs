//! Messages that were stored before: a retry is answered with the place that it has.

use std::collections::HashMap;

use grpcchatter_entity::message;
use sea_orm::{
    DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{Done, Draft, Lane, Receipt};
use crate::{
    faults::{self, Fault},
    model::{ClientMessageId, Error, Message, RoomId, Timestamp, UserId},
    store::DbResult,
};

type Key = (RoomId, ClientMessageId, UserId);

impl Lane {
    /// Answers what is in the log already, and takes it from `allowed`. A second copy in the same batch is
    /// answered like a retry, too: the next transaction finds the first.
    pub(super) async fn answer_known(
        &self,
        transaction: &DatabaseTransaction,
        drafts: &[Draft],
        allowed: &mut Vec<usize>,
        done: &mut Done,
    ) -> DbResult<()> {
        let key = |draft: &Draft| -> Option<Key> {
            draft.client_message_id.clone().map(|id| (draft.identity.room, id, draft.identity.user))
        };
        let asked: Vec<Key> = allowed.iter().filter_map(|&place| key(&drafts[place])).collect();
        let mut stored = HashMap::new();
        for some in asked.chunks(1_000) {
            let columns = Expr::tuple([
                Expr::col(message::Column::RoomId),
                Expr::col(message::Column::ClientMessageId),
                Expr::col(message::Column::UserId),
            ]);
            let keys = some.iter().map(|(room, id, user)| (room.0, id.as_str().to_owned(), user.0));
            for row in message::Entity::find().filter(columns.in_tuples(keys)).all(transaction).await? {
                let Some(id) = row.client_message_id.clone().map(ClientMessageId::trusted) else { continue };
                stored.insert((RoomId(row.room_id), id, UserId(row.user_id)), row);
            }
        }
        let mut seen = std::collections::HashSet::new();
        allowed.retain(|&place| {
            let draft = &drafts[place];
            let Some(key) = key(draft) else { return true };
            if let Some(row) = stored.get(&key) {
                done.answers.push((place, answer(draft, row)));
                return false;
            }
            if !seen.insert(key) && !faults::is(Fault::DeduplicationUnderLock) {
                done.again.push(place);
                return false;
            }
            true
        });
        Ok(())
    }
}

fn answer(draft: &Draft, row: &message::Model) -> crate::model::Result<Receipt> {
    if row.body != *draft.body.shared() {
        return Err(Error::ClientMessageIdReused);
    }
    let message = Message {
        seq: row.seq + i64::from(faults::is(Fault::RetryAnsweredAnew)),
        message_id: row.message_id,
        author: draft.identity.user,
        user_name: draft.identity.user_name.shared(),
        body: draft.body.shared(),
        created_at: Timestamp::from_micros(row.created_at),
        client_message_id: draft.client_message_id.clone(),
    };
    Ok(Receipt { message, duplicate: true })
}
