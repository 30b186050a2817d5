//! `user list`, `user show` and `user delete`.

use grpcchatter::app::{AccountRecord, Admin, Timestamp};
use serde_json::{Value, json};

use super::{Failed, confirm::confirm, output::print, table::row};

pub(super) fn list(admin: &Admin, as_json: bool) -> Result<(), Failed> {
    if !as_json {
        row([&"USER", &"CREATED", &"STATE", &"ROOMS", &"SESSIONS"])?;
    }
    admin.users(|record| {
        if as_json {
            return print(described(record));
        }
        let created = record.account.created_at.rfc3339();
        row([&record.account.user_name.as_str(), &created, &state(record), &record.rooms, &record.sessions])
    })
}

pub(super) fn show(admin: &Admin, name: &str, as_json: bool) -> Result<(), Failed> {
    let (record, rooms) = admin.user(name)?;
    if as_json {
        let rooms = rooms.iter().map(|room| {
            json!({ "short_code": room.short_code.as_str(), "name": room.name, "last_seq": room.last_seq.0 })
        });
        let mut described = described(&record);
        described["rooms"] = rooms.collect();
        return print(described);
    }
    row([&"user", &record.account.user_name.as_str()])?;
    row([&"id", &record.account.id.0])?;
    row([&"role", &record.account.role.as_str()])?;
    row([&"created", &record.account.created_at.rfc3339()])?;
    row([&"state", &state(&record)])?;
    row([&"sessions", &record.sessions])?;
    for room in rooms {
        row([&"room", &room.short_code.as_str(), &room.name])?;
    }
    Ok(())
}

pub(super) fn delete(admin: &Admin, name: &str, is_sure: bool) -> Result<(), Failed> {
    let (record, rooms) = admin.user(name)?;
    let name = record.account.user_name.as_str();
    // An account that owns rooms is refused whatever the answer.
    if rooms.is_empty() {
        confirm(&format!("Delete the user {name} for ever? Its messages stay, without a name."), is_sure)?;
    }
    Ok(admin.delete_user(name)?)
}

fn state(record: &AccountRecord) -> &'static str {
    if record.disabled_at.is_some() { "disabled" } else { "active" }
}

fn described(record: &AccountRecord) -> Value {
    json!({
        "id": record.account.id.0,
        "user_name": record.account.user_name.as_str(),
        "role": record.account.role.as_str(),
        "created_at": record.account.created_at.rfc3339(),
        "disabled_at": record.disabled_at.map(Timestamp::rfc3339),
        "rooms": record.rooms,
        "sessions": record.sessions,
    })
}
