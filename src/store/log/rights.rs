//! Who may speak: checked under the room's lock, and remembered while the room's epochs stand.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, Statement, Value};
use uuid::Uuid;

use super::{
    Done, Draft, Lane,
    rows::{Locked, placeholders},
};
use crate::{
    model::{ChatIdentity, Epochs, Error, RoomId, Timestamp, UserId},
    store::{DbResult, Failure, members::Rights},
};

/// How many rights a lane remembers before it forgets them all.
const REMEMBERED_RIGHTS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Remembered {
    epochs: Epochs,
    /// Until when each stands: the end of its session, as it was when it was checked.
    standing: HashMap<Right, Timestamp>,
}

/// The part of a chat token on which the right to speak rests.
type Right = (UserId, Uuid, i64, i64);

fn right(identity: &ChatIdentity) -> Right {
    (identity.user, identity.session.0, identity.room_epoch, identity.member_epoch)
}

impl Lane {
    /// Returns the places whose authors may speak, in order; the others are answered. While a room's epochs stand,
    /// what was checked before is not checked again.
    pub(super) async fn check_rights(
        &mut self,
        transaction: &DatabaseTransaction,
        drafts: &[Draft],
        batch: &[usize],
        locked: &HashMap<RoomId, Locked>,
        done: &mut Done,
    ) -> DbResult<Vec<usize>> {
        if self.rights.values().map(|room| room.standing.len()).sum::<usize>() > REMEMBERED_RIGHTS {
            self.rights.clear();
        }
        for (id, room) in locked {
            let epochs = Epochs { room: room.epoch, members: room.members_epoch };
            let remembered =
                self.rights.entry(*id).or_insert_with(|| Remembered { epochs, standing: HashMap::new() });
            if remembered.epochs != epochs {
                *remembered = Remembered { epochs, standing: HashMap::new() };
            }
        }
        let now = self.store.clock().now();
        let is_remembered = |rights: &HashMap<RoomId, Remembered>, identity: &ChatIdentity| {
            let until = rights.get(&identity.room).and_then(|room| room.standing.get(&right(identity)));
            until.is_some_and(|until| *until > now)
        };
        let unknown: Vec<Arc<ChatIdentity>> = batch
            .iter()
            .map(|&place| &drafts[place].identity)
            .filter(|identity| locked.contains_key(&identity.room) && !is_remembered(&self.rights, identity))
            .map(Arc::clone)
            .collect();
        if !unknown.is_empty() {
            let rights = Rights::load(&self.store, transaction, &unknown).await?;
            for identity in unknown {
                let room = &locked[&identity.room];
                if rights.check(&identity, UserId(room.owner_id), room.epoch).is_ok()
                    && let Some(until) = rights.until(&identity)
                    && let Some(remembered) = self.rights.get_mut(&identity.room)
                {
                    remembered.standing.insert(right(&identity), until);
                }
            }
        }
        let skipped = if self.waits {
            HashSet::new()
        } else {
            self.skipped(transaction, drafts, batch, locked).await?
        };
        let mut allowed = Vec::with_capacity(batch.len());
        for &place in batch {
            let identity = &drafts[place].identity;
            if is_remembered(&self.rights, identity) && locked.contains_key(&identity.room) {
                allowed.push(place);
            } else if skipped.contains(&identity.room) {
                done.busy.push(place);
            } else {
                // The reason is found by the one rule there is, and only for those who are refused.
                let refused = match self.store.standing_in(transaction, identity).await {
                    Ok(_) => Error::Internal,
                    Err(Failure::Refused(error)) => error,
                    Err(failure) => return Err(failure),
                };
                done.answers.push((place, Err(refused)));
            }
        }
        Ok(allowed)
    }

    /// Returns the rooms that exist but are held by another transaction.
    async fn skipped(
        &self,
        transaction: &DatabaseTransaction,
        drafts: &[Draft],
        batch: &[usize],
        locked: &HashMap<RoomId, Locked>,
    ) -> DbResult<HashSet<RoomId>> {
        let missing: HashSet<i64> = batch
            .iter()
            .map(|&place| drafts[place].identity.room)
            .filter(|room| !locked.contains_key(room))
            .map(|room| room.0)
            .collect();
        if missing.is_empty() || self.store.backend() == DbBackend::Sqlite {
            return Ok(HashSet::new());
        }
        let sql = format!("SELECT id FROM rooms WHERE id IN ({})", placeholders(1, missing.len()));
        let values: Vec<Value> = missing.into_iter().map(Value::from).collect();
        let statement = Statement::from_sql_and_values(self.store.backend(), sql, values);
        let rows = transaction.query_all_raw(statement).await?;
        let mut found = HashSet::new();
        for row in rows {
            found.insert(RoomId(row.try_get("", "id")?));
        }
        Ok(found)
    }
}
