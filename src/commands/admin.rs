//! What is done to the database and to the settings beside a running server.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
};

use grpcchatter::{
    app::{Admin, AdminError},
    config::{Loaded, LogConfig, LogFormat, Place},
    telemetry,
};

use super::{
    Failed, UserTask,
    confirm::confirm,
    people, print,
    settings::{CheckArgs, PlaceArgs, SettingArgs},
    table::row,
};

/// The exit code of an input that cannot be read (`EX_DATAERR` of sysexits.h).
const BAD_INPUT: u8 = 65;

pub(super) fn migrate(args: SettingArgs) -> Result<(), Failed> {
    let config = args.load()?.config;
    telemetry::init(&config.log);
    Admin::migrate(&config).map_err(failed)
}

pub(super) fn check_config(args: CheckArgs) -> Result<(), Failed> {
    let connects = args.connect;
    let Loaded { config, file, notes } = args.settings.load()?;
    for note in notes {
        print(note)?;
    }
    let read = file.map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let addresses: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    let tls = if config.tls.is_some() { ", by TLS" } else { "" };
    print(format_args!("the settings can be used ({read} read): on {}{tls}", addresses.join(" and ")))?;
    if connects {
        log_failures();
        print(Admin::check(&config).map_err(failed)?)?;
    }
    Ok(())
}

pub(super) fn backup(file: &Path, place: PlaceArgs) -> Result<(), Failed> {
    let place = quietly(place)?;
    Admin::backup(&place.database, file).map_err(failed)?;
    print(format_args!("the database is in {}; keep DATA_DIR/secret beside it", file.display()))
}

pub(super) fn user(task: UserTask) -> Result<(), Failed> {
    let done = match task {
        UserTask::List { json, place } => return people::list(&open(place)?, json),
        UserTask::Show { json, user } => return people::show(&open(user.place)?, &user.user_name, json),
        UserTask::Delete { yes, user } => return people::delete(&open(user.place)?, &user.user_name, yes),
        UserTask::Add(args) => {
            let (admin, password) = (open(args.place)?, password()?);
            admin.add_user(&args.user_name, &password)
        }
        UserTask::Disable(args) => open(args.place)?.disable_user(&args.user_name),
        UserTask::Enable(args) => open(args.place)?.enable_user(&args.user_name),
        UserTask::ResetPassword(args) => {
            let (admin, password) = (open(args.place)?, password()?);
            admin.reset_password(&args.user_name, &password)
        }
    };
    done.map_err(failed)
}

pub(super) fn list_rooms(json: bool, place: PlaceArgs) -> Result<(), Failed> {
    let admin = open(place)?;
    if !json {
        row([&"CODE", &"OWNER", &"MESSAGES", &"NAME", &"ID"])?;
    }
    admin.rooms(|room| {
        let (code, owner) = (room.short_code.as_str(), &room.owner_name);
        if json {
            print(serde_json::json!({
                "id": room.id.0, "short_code": code, "name": room.name, "owner": owner, "last_seq": room.last_seq,
            }))
        } else {
            row([&code, owner, &room.last_seq, &room.name, &room.id.0])
        }
    })
}

pub(super) fn delete_room(short_code: &str, is_sure: bool, place: PlaceArgs) -> Result<(), Failed> {
    let admin = open(place)?;
    let room = admin.room(short_code)?;
    let (name, owner) = (&room.name, &room.owner_name);
    let question =
        format!("Delete the room {short_code}, \"{name}\" of {owner}, for ever, with all its messages?");
    confirm(&question, is_sure)?;
    admin.delete_room(short_code).map_err(failed)
}

pub(super) fn secret() -> Result<(), Failed> {
    print(Admin::new_secret())
}

fn open(place: PlaceArgs) -> Result<Admin, Failed> {
    Admin::open(&quietly(place)?.database).map_err(failed)
}

/// Reads where the database is, and logs no more than failures and what was done: what a command has to say it prints.
fn quietly(place: PlaceArgs) -> Result<Place, Failed> {
    let place = place.load()?;
    log_failures();
    Ok(place)
}

/// Logs failures, and what was done.
fn log_failures() {
    telemetry::init(&LogConfig { filter: "error,audit=info".to_owned(), format: LogFormat::Text });
}

fn failed(error: AdminError) -> Failed {
    let code = error.exit_code();
    Failed::new(error, code)
}

impl From<AdminError> for Failed {
    fn from(error: AdminError) -> Self {
        failed(error)
    }
}

/// Asks for a password, twice since nobody sees it; where nobody can be asked, takes the input's first line. Never from
/// the command line, which everybody on a machine can read.
fn password() -> Result<String, Failed> {
    let unreadable =
        |error: io::Error| Failed::new(format!("the password cannot be read: {error}"), BAD_INPUT);
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password("New password: ").map_err(unreadable)?;
    if first == rpassword::prompt_password("Once more: ").map_err(unreadable)? {
        Ok(first)
    } else {
        Err(Failed::new("the two passwords differ", BAD_INPUT))
    }
}
