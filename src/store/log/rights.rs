//! Who may speak: checked under locks that last until the commit.
//!
//! A chat token rests on a membership and on a session.
//!
//! *Memberships* are remembered while the room's epochs stand, which rise with whatever ends one, in the same transaction.
//! They are read from the room's row under its lock, and whoever raises them waits for that lock. The one that raises none
//! is the deletion of an account, which ends all of its sessions.
//!
//! *Sessions* are read anew for each batch, since their ends write to no room. Their rows are locked as well: whoever ends
//! one deletes its row, and so either did it before, and the row is not found, or waits until the batch is committed. So a
//! message never gets into the log after its session has ended, whichever process ended it. The lock is the weakest that
//! keeps a row from being deleted (`FOR KEY SHARE`): batches of several lanes share it, and log-in does not meet it. It
//! waits for changes of uniquely indexed columns alone, and takes the others as the statement's snapshot has them. So
//! whatever moves the end of a session forward has to change its refresh token too, as renewing does, or to delete the row.
//!
//! Nobody waits in a circle. A lane takes rooms by rising id, then sessions by rising id, and passes over what another
//! transaction holds; only the spare lane waits. Whoever takes a session takes no room after it: the ends of sessions lock
//! those of one user by rising id, after the account, and the log locks no account. SQLite has one writer at a time, from
//! `BEGIN IMMEDIATE` on.

use std::{collections::HashSet, sync::Arc};

use sea_orm::DbBackend;

use super::{
    Done, Draft, Lane,
    rows::{Ground, Read},
};
use crate::{
    model::{ChatIdentity, Epochs, Error, UserId},
    store::{DbResult, Failure, members::Memberships, transaction::Transaction},
};

/// How many rights a lane remembers before it forgets them all.
const REMEMBERED_RIGHTS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Remembered {
    epochs: Epochs,
    /// Which memberships stand.
    standing: HashSet<Right>,
}

/// The part of a chat token that says which membership it rests on.
type Right = (UserId, i64, i64);

fn right(identity: &ChatIdentity) -> Right {
    (identity.user, identity.room_epoch, identity.member_epoch)
}

impl Lane {
    /// Returns the places whose authors may speak, in order; the others are answered, or wait.
    pub(super) async fn check_rights(
        &mut self,
        transaction: &Transaction,
        drafts: &[Draft],
        batch: &[usize],
        ground: &Ground,
        done: &mut Done,
    ) -> DbResult<Vec<usize>> {
        self.remember(transaction, drafts, batch, ground).await?;
        let may_speak = |place: &usize| {
            let identity = &drafts[*place].identity;
            // What is not locked now is not known now, whatever is remembered of it.
            ground.rooms.contains_key(&identity.room)
                && ground.is_alive(identity.session)
                && self.stands(identity)
        };
        let (allowed, others): (Vec<usize>, Vec<usize>) = batch.iter().partition(|place| may_speak(place));
        let busy = self.busy(transaction, drafts, &others, ground).await?;
        for place in others {
            if busy.contains(&place) {
                done.busy.push(place);
                continue;
            }
            // The reason is found by the one rule there is, and only for those who are refused.
            let refused = match self.store.standing_in(transaction, &drafts[place].identity).await {
                Ok(_) => Error::Internal,
                Err(Failure::Refused(error)) => error,
                Err(failure) => return Err(failure),
            };
            done.answers.push((place, Err(refused)));
        }
        Ok(allowed)
    }

    /// Says whether a membership is remembered.
    fn stands(&self, identity: &ChatIdentity) -> bool {
        self.rights.get(&identity.room).is_some_and(|room| room.standing.contains(&right(identity)))
    }

    /// Forgets the memberships of rooms whose epochs have risen, and reads those that it does not remember.
    async fn remember(
        &mut self,
        transaction: &Transaction,
        drafts: &[Draft],
        batch: &[usize],
        ground: &Ground,
    ) -> DbResult<()> {
        if self.rights.values().map(|room| room.standing.len()).sum::<usize>() > REMEMBERED_RIGHTS {
            self.rights.clear();
        }
        for (id, room) in &ground.rooms {
            let epochs = Epochs { room: room.epoch, members: room.members_epoch };
            let remembered =
                self.rights.entry(*id).or_insert_with(|| Remembered { epochs, standing: HashSet::new() });
            if remembered.epochs != epochs {
                *remembered = Remembered { epochs, standing: HashSet::new() };
            }
        }
        let unknown: Vec<Arc<ChatIdentity>> = batch
            .iter()
            .map(|&place| &drafts[place].identity)
            .filter(|identity| ground.rooms.contains_key(&identity.room))
            .filter(|identity| ground.is_alive(identity.session) && !self.stands(identity))
            .map(Arc::clone)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let members = Memberships::load(transaction, &unknown).await?;
        for identity in unknown {
            let room = &ground.rooms[&identity.room];
            if members.check(&identity, UserId(room.owner_id), room.epoch, true).is_ok()
                && let Some(remembered) = self.rights.get_mut(&identity.room)
            {
                remembered.standing.insert(right(&identity));
            }
        }
        Ok(())
    }

    /// Returns those of the places whose room or session is there, but held by another transaction.
    async fn busy(
        &self,
        transaction: &Transaction,
        drafts: &[Draft],
        places: &[usize],
        ground: &Ground,
    ) -> DbResult<HashSet<usize>> {
        let misses_room = |place: usize| !ground.rooms.contains_key(&drafts[place].identity.room);
        let misses_session = |place: usize| !ground.is_alive(drafts[place].identity.session);
        let missing: Vec<usize> =
            places.iter().copied().filter(|&place| misses_room(place) || misses_session(place)).collect();
        if missing.is_empty() || self.waits || self.store.backend() == DbBackend::Sqlite {
            return Ok(HashSet::new());
        }
        let there = missing.iter().map(|&place| &drafts[place]);
        let there = self.read(transaction, there, Read::Plainly).await?;
        let is_there = |place: usize| {
            let identity = &drafts[place].identity;
            there.rooms.contains_key(&identity.room) && there.is_alive(identity.session)
        };
        Ok(missing.into_iter().filter(|&place| is_there(place)).collect())
    }
}
