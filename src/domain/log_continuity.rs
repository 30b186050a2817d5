//! Whether the log still holds what the clients of a room may have, after another database server may have taken over.

use uuid::Uuid;

use crate::{
    hub::{Room, ids_differ},
    model::{Result, Seq},
    store::Store,
};

/// Returns whether the log still holds what the clients of a room may have: what the room has published, and the message after
/// which a client has resumed if that is newer. If it holds the newest of each, it holds those before. Each server is asked
/// once. A message that RETENTION has removed, or a room that was deleted, proves nothing and counts as kept.
///
/// # Errors
/// Where the database fails.
pub(super) async fn holds(store: &Store, room: &Room) -> Result<bool> {
    // Read before the queries: their results are from this server, or from a later one, which is asked again.
    let server = store.server_number();
    if room.is_log_verified_on(server) {
        return Ok(true);
    }
    let (published, known) = (room.head(), room.newest_known());
    // A client may have resumed on another server than the one whose log was published, so one does not prove the other.
    for (seq, id) in [published, known.filter(|_| known != published)].into_iter().flatten() {
        if id.is_some() && !holds_message(store, room, seq, id).await? {
            return Ok(false);
        }
    }
    if known.is_some_and(|(_, id)| id.is_some()) {
        room.set_log_verified_on(server);
    }
    Ok(true)
}

async fn holds_message(store: &Store, room: &Room, seq: Seq, id: Option<Uuid>) -> Result<bool> {
    let Some(position) = store.log_position(room.id(), seq).await? else { return Ok(true) };
    let is_there = position.message_id.is_some() || seq < position.first_seq;
    Ok(is_there && !ids_differ(id, position.message_id))
}
