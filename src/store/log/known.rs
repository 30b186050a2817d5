//! Messages that were stored before: a retry is answered with the place that it has.

use std::collections::{HashMap, HashSet};

use grpcchatter_entity::message;
use sea_orm::{
    EntityTrait as _, FromQueryResult, QueryFilter as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};
use uuid::Uuid;

use super::{Done, Draft, Lane, Receipt};
use crate::{
    faults::{self, Fault},
    model::{ClientMessageId, Error, Message, RoomId, Timestamp, UserId},
    store::{DbResult, transaction::Transaction},
};

/// One statement asks for bodies of so many bytes, at most, but for one that is longer by itself. A database that writes
/// more than fits on its way to a process that stands still keeps to no timeout, and keeps its locks.
const LOOKUP_BYTES: usize = 64 * 1024;

/// One statement asks for so many ids, at most.
const LOOKUP_IDS: usize = 500;

type Key = (RoomId, ClientMessageId, UserId);

impl Lane {
    /// Answers what is in the log already, and takes it from `allowed`. A second copy in the same batch is
    /// answered like a retry, too: the next transaction finds the first.
    pub(super) async fn answer_known(
        &self,
        transaction: &Transaction,
        drafts: &[Draft],
        allowed: &mut Vec<usize>,
        done: &mut Done,
    ) -> DbResult<()> {
        let asked: Vec<Key> = allowed.iter().filter_map(|&place| key(&drafts[place])).collect();
        let mut stored = HashMap::new();
        for some in asked.chunks(LOOKUP_IDS) {
            stored.extend(find(transaction, some).await?);
        }
        let same = self.same(transaction, drafts, allowed, &stored).await?;
        let mut seen = HashSet::new();
        allowed.retain(|&place| {
            let draft = &drafts[place];
            let Some(key) = key(draft) else { return true };
            if let Some(row) = stored.get(&key) {
                let answer = if same.contains(&place) {
                    Ok(repeat(draft, row))
                } else {
                    Err(Error::ClientMessageIdReused)
                };
                done.answers.push((place, answer));
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

    /// Returns the places whose drafts say what is stored under their ids. Only what is as long is read.
    async fn same(
        &self,
        transaction: &Transaction,
        drafts: &[Draft],
        places: &[usize],
        stored: &HashMap<Key, Stored>,
    ) -> DbResult<HashSet<usize>> {
        let row = |place: &usize| stored.get(&key(&drafts[*place])?);
        let length = |place: &usize| drafts[*place].body.len();
        let as_long = |place: &&usize| {
            row(place).is_some_and(|row| usize::try_from(row.bytes).is_ok_and(|bytes| bytes == length(place)))
        };
        let as_long: Vec<usize> = places.iter().filter(as_long).copied().collect();
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
            same.extend(some.iter().filter(|place| {
                let body = row(place).and_then(|row| bodies.get(&(row.room_id, row.seq)));
                body.is_some_and(|body| **body == *drafts[**place].body.shared())
            }));
        }
        Ok(same)
    }
}

/// What is stored under an id, but for its body.
#[derive(Debug, FromQueryResult)]
struct Stored {
    room_id: i64,
    seq: i64,
    message_id: Uuid,
    user_id: i64,
    created_at: i64,
    client_message_id: Option<String>,
    /// How long its body is.
    bytes: i64,
}

fn key(draft: &Draft) -> Option<Key> {
    draft.client_message_id.clone().map(|id| (draft.identity.room, id, draft.identity.user))
}

/// Looks ids up.
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

/// Cuts places into runs, none of which is longer than one statement asks for.
fn cut(places: &[usize], length: impl Fn(&usize) -> usize) -> Vec<&[usize]> {
    let (mut runs, mut rest) = (Vec::new(), places);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fit = rest.iter().take(LOOKUP_IDS).take_while(|place| {
            bytes += length(place);
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
        seq: row.seq + i64::from(faults::is(Fault::RetryAnsweredAnew)),
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
    fn no_statement_asks_for_more_than_fits_on_the_way_but_for_one_body() {
        let lengths = [10, LOOKUP_BYTES, LOOKUP_BYTES - 10, 10, 1, 2 * LOOKUP_BYTES, 5];
        let places: Vec<usize> = (0..lengths.len()).collect();
        let runs = cut(&places, |place| lengths[*place]);
        assert_eq!(runs, [&[0][..], &[1], &[2, 3], &[4], &[5], &[6]]);
        let places: Vec<usize> = (0..2_000).collect();
        let runs = cut(&places, |_| 100);
        assert!(runs.iter().all(|run| run.len() <= LOOKUP_IDS));
        assert_eq!(runs.concat(), places);
    }
}
