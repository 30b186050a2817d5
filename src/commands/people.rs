//! `user list`, `user show` and `user delete`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use grpcchatter::app::{AccountRecord, Admin, Timestamp, printable};
use serde_json::{Value, json};

use super::{Failed, USAGE, output::print, table::row};

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
    if !is_sure {
        confirm(name)?;
    }
    Ok(admin.delete_user(name)?)
}

/// Asks whether it is meant: nothing brings an account back.
fn confirm(name: &str) -> Result<(), Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::new("nobody can be asked whether this is meant: say --yes", USAGE));
    }
    let asked = format!("Delete {} for ever? Its messages stay, without a name. [y/N] ", printable(name));
    // Where it cannot be shown there is no yes either.
    drop(io::stderr().write_all(asked.as_bytes()));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| Failed::new(error, USAGE))?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(Failed::new("nothing was deleted", USAGE))
    }
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
