//! `user list`, `user show` and `user delete`.

use grpcchatter::app::{AccountRecord, Admin, Timestamp};
use serde_json::{Value, json};

use super::{Failed, confirm::confirm, output::print, table::row};

pub(super) fn list(admin: &Admin, as_json: bool) -> Result<(), Failed> {
    if !as_json {
        row([&"USER", &"CREATED", &"STATE", &"ROOMS", &"SESSIONS"])?;
    }
    admin.users(|person| {
        if as_json {
            return print(described(person));
        }
        let created = person.account.created_at.rfc3339();
        row([&person.account.user_name.as_str(), &created, &state(person), &person.rooms, &person.sessions])
    })
}

pub(super) fn show(admin: &Admin, name: &str, as_json: bool) -> Result<(), Failed> {
    let (person, rooms) = admin.user(name)?;
    if as_json {
        let rooms = rooms.iter().map(|room| {
            json!({ "short_code": room.short_code.as_str(), "name": room.name, "last_seq": room.last_seq })
        });
        let mut described = described(&person);
        described["rooms"] = rooms.collect();
        return print(described);
    }
    row([&"user", &person.account.user_name.as_str()])?;
    row([&"id", &person.account.id.0])?;
    row([&"role", &person.account.role.as_str()])?;
    row([&"created", &person.account.created_at.rfc3339()])?;
    row([&"state", &state(&person)])?;
    row([&"sessions", &person.sessions])?;
    for room in rooms {
        row([&"room", &room.short_code.as_str(), &room.name])?;
    }
    Ok(())
}

pub(super) fn delete(admin: &Admin, name: &str, is_sure: bool) -> Result<(), Failed> {
    let (person, rooms) = admin.user(name)?;
    let name = person.account.user_name.as_str();
    // Who owns rooms is refused, whatever the answer would be.
    if rooms.is_empty() {
        confirm(&format!("Delete the user {name} for ever? Its messages stay, without a name."), is_sure)?;
    }
    Ok(admin.delete_user(name)?)
}

fn state(person: &AccountRecord) -> &'static str {
    if person.disabled_at.is_some() { "disabled" } else { "active" }
}

fn described(person: &AccountRecord) -> Value {
    json!({
        "id": person.account.id.0,
        "user_name": person.account.user_name.as_str(),
        "role": person.account.role.as_str(),
        "created_at": person.account.created_at.rfc3339(),
        "disabled_at": person.disabled_at.map(Timestamp::rfc3339),
        "rooms": person.rooms,
        "sessions": person.sessions,
    })
}
