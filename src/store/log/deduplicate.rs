//! Finds messages that were stored before: a retry is answered with the stored message.

use std::collections::{HashMap, HashSet};

use grpcchatter_entity::message;
use sea_orm::{
    EntityTrait as _, FromQueryResult, QueryFilter as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};
use uuid::Uuid;

use super::{
    draft::{Draft, Receipt},
    lane::{BatchOutcome, Lane},
};
use crate::{
    faults::{self, Fault},
    model::{ClientMessageId, Error, Message, RoomId, Seq, Timestamp, UserId},
    store::{DbResult, transaction::Transaction},
};

/// Maximum bytes of bodies that one statement reads; a longer body is read alone. PostgreSQL honours no timeout while it
/// writes to a client that does not read, and holds its locks meanwhile, so an answer must fit into the socket buffers.
const LOOKUP_BYTES: usize = 64 * 1024;

/// Maximum number of ids that one statement looks up.
const LOOKUP_IDS: usize = 500;

type Key = (RoomId, ClientMessageId, UserId);

impl Lane {
    /// Answers the drafts whose ids are stored, and removes them from `allowed`. A second copy within the batch is removed
    /// too: the next transaction finds the first copy stored.
    pub(super) async fn answer_duplicates(
        &self,
        transaction: &Transaction,
        drafts: &[Draft],
        allowed: &mut Vec<usize>,
        outcome: &mut BatchOutcome,
    ) -> DbResult<()> {
        let asked: Vec<Key> = allowed.iter().filter_map(|&index| key(&drafts[index])).collect();
        let mut stored = HashMap::new();
        for some in asked.chunks(LOOKUP_IDS) {
            stored.extend(find(transaction, some).await?);
        }
        let repeats = self.with_stored_body(transaction, drafts, allowed, &stored).await?;
        let mut seen = HashSet::new();
        allowed.retain(|&index| {
            let draft = &drafts[index];
            let Some(key) = key(draft) else { return true };
            if let Some(row) = stored.get(&key) {
                let answer = if repeats.contains(&index) {
                    Ok(repeat(draft, row))
                } else {
                    Err(Error::ClientMessageIdReused)
                };
                outcome.receipts.push((index, answer));
                return false;
            }
            if !seen.insert(key) && !faults::is(Fault::DeduplicationUnderLock) {
                outcome.copies.push(index);
                return false;
            }
            true
        });
        Ok(())
    }

    /// Returns the drafts whose bodies equal the stored ones. Reads only stored bodies of the same length.
    async fn with_stored_body(
        &self,
        transaction: &Transaction,
        drafts: &[Draft],
        indices: &[usize],
        stored: &HashMap<Key, Stored>,
    ) -> DbResult<HashSet<usize>> {
        let row = |index: &usize| stored.get(&key(&drafts[*index])?);
        let length = |index: &usize| drafts[*index].body.len();
        let as_long = |index: &&usize| {
            row(index).is_some_and(|row| usize::try_from(row.bytes).is_ok_and(|bytes| bytes == length(index)))
        };
        let as_long: Vec<usize> = indices.iter().filter(as_long).copied().collect();
        let mut same = HashSet::new();
        for some in cut(&as_long, length) {
            let columns = Expr::tuple([Expr::col(message::Column::RoomId), Expr::col(message::Column::Seq)]);
            let rows = some.iter().filter_map(row).map(|row| (row.room_id, row.seq));
            let rows = message::Entity::find()
                .select_only()
                .columns([message::Column::RoomId, message::Column::Seq, message::Column::Body])
                .filter(columns.in_tuples(rows));
            let bodies: Vec<(i64, i64, String)> = rows.into_tuple().all(transaction).await?;
            let bodies: HashMap<(i64, i64), String> =
                bodies.into_iter().map(|(room, seq, body)| ((room, seq), body)).collect();
            same.extend(some.iter().filter(|index| {
                let body = row(index).and_then(|row| bodies.get(&(row.room_id, row.seq)));
                body.is_some_and(|body| **body == *drafts[**index].body.shared())
            }));
        }
        Ok(same)
    }
}

/// A stored message without its body.
#[derive(Debug, FromQueryResult)]
struct Stored {
    room_id: i64,
    seq: i64,
    message_id: Uuid,
    user_id: i64,
    created_at: i64,
    client_message_id: Option<String>,
    /// Length of its body.
    bytes: i64,
}

fn key(draft: &Draft) -> Option<Key> {
    draft.client_message_id.clone().map(|id| (draft.identity.room, id, draft.identity.user))
}

/// Looks up the messages that are stored under these keys.
async fn find(transaction: &Transaction, keys: &[Key]) -> DbResult<Vec<(Key, Stored)>> {
    let columns = Expr::tuple([
        Expr::col(message::Column::RoomId),
        Expr::col(message::Column::ClientMessageId),
        Expr::col(message::Column::UserId),
    ]);
    let keys = keys.iter().map(|(room, id, user)| (room.0, id.as_str().to_owned(), user.0));
    let rows: Vec<Stored> = message::Entity::find()
        .select_only()
        .columns([
            message::Column::RoomId,
            message::Column::Seq,
            message::Column::MessageId,
            message::Column::UserId,
            message::Column::CreatedAt,
            message::Column::ClientMessageId,
        ])
        .expr_as(Expr::cust("CAST(octet_length(body) AS BIGINT)"), "bytes")
        .filter(columns.in_tuples(keys))
        .into_model()
        .all(transaction)
        .await?;
    let key = |row: &Stored| {
        let id = ClientMessageId::trusted(row.client_message_id.clone()?);
        Some((RoomId(row.room_id), id, UserId(row.user_id)))
    };
    Ok(rows.into_iter().filter_map(|row| Some((key(&row)?, row))).collect())
}

/// Cuts `indices` into runs within the limits of one statement.
fn cut(indices: &[usize], length: impl Fn(&usize) -> usize) -> Vec<&[usize]> {
    let (mut runs, mut rest) = (Vec::new(), indices);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fit = rest.iter().take(LOOKUP_IDS).take_while(|index| {
            bytes += length(index);
            bytes <= LOOKUP_BYTES
        });
        let (run, others) = rest.split_at(fit.count().max(1));
        runs.push(run);
        rest = others;
    }
    runs
}

fn repeat(draft: &Draft, row: &Stored) -> Receipt {
    let message = Message {
        seq: Seq(row.seq + i64::from(faults::is(Fault::RetryGivesNewSeq))),
        message_id: row.message_id,
        author: draft.identity.user,
        user_name: draft.identity.user_name.shared(),
        body: draft.body.shared(),
        created_at: Timestamp::from_micros(row.created_at),
        client_message_id: draft.client_message_id.clone(),
    };
    Receipt { message, duplicate: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_reads_more_than_the_limit_except_for_one_long_body() {
        let lengths = [10, LOOKUP_BYTES, LOOKUP_BYTES - 10, 10, 1, 2 * LOOKUP_BYTES, 5];
        let indices: Vec<usize> = (0..lengths.len()).collect();
        let runs = cut(&indices, |index| lengths[*index]);
        assert_eq!(runs, [&[0][..], &[1], &[2, 3], &[4], &[5], &[6]]);
        let indices: Vec<usize> = (0..2_000).collect();
        let runs = cut(&indices, |_| 100);
        assert!(runs.iter().all(|run| run.len() <= LOOKUP_IDS));
        assert_eq!(runs.concat(), indices);
    }
}
