//! The statements of the fast path on SQLite. Their texts are made from the entities, with the parameters in the order of the
//! columns.

use grpcchatter_entity::{message, room, session};
use rusqlite::{Connection, OptionalExtension as _, params};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DbBackend, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    QueryTrait as _, sea_query::Expr,
};
use uuid::Uuid;

use super::batch::{FastBatch, FastRoom, Head};
use crate::{
    faults::{self, Fault},
    model::Seq,
};

/// Their texts.
pub(super) struct Statements {
    /// Reads the head and the epochs of a room.
    read_room: String,
    /// Finds a session that expires after a time.
    find_session: String,
    insert_message: String,
    update_head: String,
}

impl Statements {
    /// Builds the statements.
    pub(super) fn new() -> Self {
        let sqlite = DbBackend::Sqlite;
        let read_room = room::Entity::find_by_id(0).select_only().columns([
            room::Column::LastSeq,
            room::Column::LastMessageId,
            room::Column::Epoch,
            room::Column::MembersEpoch,
        ]);
        let find_session = session::Entity::find_by_id(Uuid::nil())
            .select_only()
            .column(session::Column::Id)
            .filter(session::Column::ExpiresAt.gt(0));
        let insert_message = message::Entity::insert(message::ActiveModel {
            room_id: Set(0),
            seq: Set(0),
            message_id: Set(Uuid::nil()),
            user_id: Set(0),
            body: Set(String::new()),
            created_at: Set(0),
            client_message_id: Set(None),
        });
        let update_head = room::Entity::update_many()
            .col_expr(room::Column::ActiveAt, Expr::value(0))
            .col_expr(room::Column::LastSeq, Expr::value(0))
            .col_expr(room::Column::LastMessageId, Expr::value(Uuid::nil()))
            .filter(room::Column::Id.eq(0));
        Self {
            read_room: read_room.build(sqlite).sql,
            find_session: find_session.build(sqlite).sql,
            insert_message: insert_message.build(sqlite).sql,
            update_head: update_head.build(sqlite).sql,
        }
    }

    /// Writes each room that may be taken. Returns their heads.
    pub(super) fn write(
        &self,
        connection: &Connection,
        batch: &FastBatch<'_>,
    ) -> rusqlite::Result<Vec<Option<Head>>> {
        let mut heads = Vec::with_capacity(batch.rooms.len());
        for room in &batch.rooms {
            let head = self.read_head(connection, room)?;
            let head = match head {
                Some(head) if self.are_sessions_alive(connection, batch, room)? => Some(head),
                _ => None,
            };
            if let Some(head) = head {
                self.insert(connection, batch, room, head)?;
            }
            heads.push(head);
        }
        Ok(heads)
    }

    /// Reads the head of a room whose epochs are those under which the memberships were cached.
    fn read_head(&self, connection: &Connection, room: &FastRoom) -> rusqlite::Result<Option<Head>> {
        let mut statement = connection.prepare_cached(&self.read_room)?;
        let row = statement.query_row([room.id.0], |row| {
            let last_message_id: Option<Uuid> = row.get(1)?;
            let head = Head { last_seq: Seq(row.get(0)?), last_message_id };
            Ok((head, row.get(2)?, row.get(3)?))
        });
        let is_unchanged = |epochs: (i64, i64)| {
            epochs == (room.epochs.room, room.epochs.members) || faults::is(Fault::EpochIgnored)
        };
        Ok(row
            .optional()?
            .filter(|&(_, epoch, members)| is_unchanged((epoch, members)))
            .map(|(head, ..)| head))
    }

    fn are_sessions_alive(
        &self,
        connection: &Connection,
        batch: &FastBatch<'_>,
        room: &FastRoom,
    ) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached(&self.find_session)?;
        for session in room.sessions(batch) {
            if !statement.exists(params![session, batch.now.as_micros()])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn insert(
        &self,
        connection: &Connection,
        batch: &FastBatch<'_>,
        room: &FastRoom,
        head: Head,
    ) -> rusqlite::Result<()> {
        let now = batch.now.as_micros();
        let mut insert = connection.prepare_cached(&self.insert_message)?;
        let (mut seq, mut newest) = (head.last_seq, Uuid::nil());
        for (nth, &index) in room.drafts.iter().enumerate() {
            let draft = &batch.drafts[index];
            seq = seq.next();
            newest = draft.message_id;
            let client_message_id = draft.client_message_id.as_ref().map(|id| id.as_str());
            if !faults::is_nth(Fault::RowNotStored, 50) {
                let body = batch.body(room, nth);
                insert.execute(params![
                    room.id.0,
                    seq.0,
                    newest,
                    draft.identity.user.0,
                    body,
                    now,
                    client_message_id
                ])?;
            }
        }
        let mut update = connection.prepare_cached(&self.update_head)?;
        update.execute(params![now, seq.0, newest, room.id.0])?;
        Ok(())
    }
}
