//! Appends messages to the logs of rooms, a batch in each transaction.
//!
//! [`Lane::append`] takes the drafts of a batch and answers each one. It usually needs one transaction:
//!
//! 1. **Lock.** One statement locks the rooms of the batch (`FOR UPDATE`) and then the sessions of its authors (`FOR KEY
//!    SHARE`), each by rising id: `locked_rows`. The room lock lasts until the commit, so the order of seq is the order of
//!    commits, and a reader always sees a prefix of the log. A lane skips rows that another transaction holds. Their drafts
//!    stay unanswered, and the caller passes them to the lock-wait lane, which waits for locks. SQLite has no row locks and
//!    one writer at a time, from `BEGIN IMMEDIATE` on.
//! 2. **Check.** The author's session must be alive and the membership valid, under these locks: `authorize`.
//! 3. **Deduplicate.** The first attempt looks nothing up: a unique index on the client message ids refuses the whole
//!    transaction if one of them is stored. The second attempt looks the ids up before it inserts: `deduplicate`. That is a
//!    statement after the lock, so its snapshot (READ COMMITTED) is younger than the lock and holds all that was committed
//!    before. A retry is answered with the message that is stored.
//! 4. **Write.** The messages get the next seqs of their rooms and are inserted, and the rooms' heads are updated: `insert`.
//! 5. **Commit.** Only after it are the messages acknowledged and published.
//!
//! A batch that the database refuses for another reason is split, by room and then into halves, until the message at fault
//! is alone.
//!
//! **Unknown outcome.** A COMMIT may fail or pass its deadline and have happened all the same. The transaction is then *in
//! doubt*: `in_doubt`. All of its messages were stored or none, so one row shows the outcome (on the fast path: one row
//! of each room); it is read under the lock of its room, which a commit that is still on its way holds. A statement of the fast
//! path may not have begun yet: if its row is missing, the epoch that it compares is raised. Messages that are in doubt at
//! their deadline are answered with `DATABASE_UNAVAILABLE`, and their authors send them again with the same ids. The lane
//! writes the rooms of such a commit again only once the outcome is known, and then publishes what turned out to be stored.

mod append;
mod fast_append;
mod in_doubt;
mod authorize;
mod deduplicate;
mod insert;
mod locked_rows;
mod lane;
mod fast;
mod draft;
#[cfg(test)]
mod duplicate_tests;
#[cfg(test)]
mod membership_tests;
#[cfg(test)]
mod tests;

pub use self::{
    draft::{Appended, Draft, Receipt},
    lane::{Lane, Lanes},
};
