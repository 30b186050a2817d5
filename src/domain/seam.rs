//! Whether the log still has what was told, once another database server may have taken over.

use crate::{
    hub::{Room, is_another},
    model::Result,
    store::Store,
};

/// Says whether the newest message that a room was told is still at its place, which is looked up once for each server. What stands before it in a log is the same
/// then as well. What RETENTION has removed, and a room that was deleted, tell nothing.
///
/// # Errors
/// Where the database fails.
pub(super) async fn holds(store: &Store, room: &Room) -> Result<bool> {
    // Before it is asked: what is found is in the log of this server, or of a later one, for which it is looked up again.
    let server = store.server();
    if room.is_found_in(server) {
        return Ok(true);
    }
    let Some((seq, told @ Some(_))) = room.head() else { return Ok(true) };
    let Some(place) = store.place(room.id(), seq).await? else { return Ok(true) };
    let is_there = place.message_id.is_some() || seq < place.first_seq;
    let holds = is_there && !is_another(told, place.message_id);
    if holds {
        room.found_in(server);
    }
    Ok(holds)
}
