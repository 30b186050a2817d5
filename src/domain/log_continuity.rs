//! Whether the log still holds what was published, after another database server may have taken over.

use crate::{
    hub::{Room, ids_differ},
    model::Result,
    store::Store,
};

/// Returns whether the newest message that a client of a room may have is still at its seq. If it is, so are the messages
/// before it. Each server is asked once. A message that RETENTION has removed, or a room that was deleted, proves nothing and
/// counts as kept.
///
/// # Errors
/// Where the database fails.
pub(super) async fn holds(store: &Store, room: &Room) -> Result<bool> {
    // Read before the query: its result is from this server, or from a later one, which is asked again.
    let server = store.server_number();
    if room.is_log_verified_on(server) {
        return Ok(true);
    }
    let Some((seq, known @ Some(_))) = room.newest_known() else { return Ok(true) };
    let Some(position) = store.log_position(room.id(), seq).await? else { return Ok(true) };
    let is_there = position.message_id.is_some() || seq < position.first_seq;
    let holds = is_there && !ids_differ(known, position.message_id);
    if holds {
        room.set_log_verified_on(server);
    }
    Ok(holds)
}
