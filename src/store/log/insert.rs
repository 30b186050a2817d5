//! Inserts new messages and updates the heads of their rooms.

use std::collections::HashMap;

use grpcchatter_entity::message;
use sea_orm::{ActiveValue::Set, ConnectionTrait as _, EntityTrait as _};

use super::lane::Lane;
use crate::{
    faults::{self, Fault},
    model::{LogSlice, Message, RoomId, Timestamp},
    store::{DbResult, parameters::Parameters, transaction::Transaction},
};

impl Lane {
    pub(super) async fn update_heads(
        &self,
        transaction: &Transaction,
        new: &HashMap<RoomId, LogSlice>,
        now: Timestamp,
    ) -> DbResult<()> {
        let mut parameters = Parameters::new(self.store.backend());
        let active_at = parameters.add(now.as_micros());
        let heads: Vec<(RoomId, &Message)> =
            new.iter().filter_map(|(room, slice)| Some((*room, slice.messages.last()?))).collect();
        let (mut seqs, mut ids) = (String::new(), String::new());
        for (room, message) in &heads {
            seqs.push_str(&format!(
                " WHEN {} THEN {}",
                parameters.add(room.0),
                parameters.add(message.seq.0)
            ));
        }
        for (room, message) in &heads {
            ids.push_str(&format!(
                " WHEN {} THEN {}",
                parameters.add(room.0),
                parameters.add(message.message_id)
            ));
        }
        let rooms: Vec<String> = heads.iter().map(|(room, _)| parameters.add(room.0)).collect();
        let sql = format!(
            "UPDATE rooms SET active_at = {active_at}, last_seq = CASE id{seqs} END, \
             last_message_id = CASE id{ids} END WHERE id IN ({})",
            rooms.join(", ")
        );
        transaction.execute_raw(parameters.statement(sql)).await?;
        Ok(())
    }
}

/// Inserts messages that have their seqs.
pub(super) async fn insert(transaction: &Transaction, new: &HashMap<RoomId, LogSlice>) -> DbResult<()> {
    let rows = new.iter().flat_map(|(room, LogSlice { messages, .. })| {
        let stored =
            messages.iter().filter(|_| messages.len() == 1 || !faults::is_nth(Fault::RowNotStored, 50));
        stored.map(|message| message::ActiveModel {
            room_id: Set(room.0),
            seq: Set(message.seq.0),
            message_id: Set(message.message_id),
            user_id: Set(message.author.0),
            body: Set(body_of(message, messages).to_owned()),
            created_at: Set(message.created_at.as_micros()),
            client_message_id: Set(message.client_message_id.as_ref().map(|id| id.as_str().to_owned())),
        })
    });
    message::Entity::insert_many(rows).exec_without_returning(transaction).await?;
    Ok(())
}

fn body_of<'l>(message: &'l Message, messages: &'l [Message]) -> &'l str {
    if faults::is_nth(Fault::BodyMixedUp, 50) { &messages[0].body } else { &message.body }
}
