//! Operator commands on the database and the settings, which also work while a server runs.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
};

use grpcchatter::{
    app::{Admin, AdminError},
    config::{DatabaseLocation, Loaded, LogConfig, LogFormat},
    telemetry,
};

use super::{
    Failed, UserCommand,
    confirm::confirm,
    print,
    settings::{CheckArgs, DatabaseArgs, SettingArgs},
    table::row,
    users,
};

/// The exit code of unreadable input (`EX_DATAERR` of sysexits.h).
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

pub(super) fn backup(file: &Path, database: DatabaseArgs) -> Result<(), Failed> {
    let location = locate(database)?;
    Admin::backup(&location.database, file).map_err(failed)?;
    print(format_args!("the database is in {}; keep DATA_DIR/secret beside it", file.display()))
}

pub(super) fn user(command: UserCommand) -> Result<(), Failed> {
    let outcome = match command {
        UserCommand::List { json, database } => return users::list(&open(database)?, json),
        UserCommand::Show { json, user } => return users::show(&open(user.database)?, &user.user_name, json),
        UserCommand::Delete { yes, user } => {
            return users::delete(&open(user.database)?, &user.user_name, yes);
        }
        UserCommand::Add(args) => {
            let (admin, password) = (open(args.database)?, password()?);
            admin.add_user(&args.user_name, &password)
        }
        UserCommand::Disable(args) => open(args.database)?.disable_user(&args.user_name),
        UserCommand::Enable(args) => open(args.database)?.enable_user(&args.user_name),
        UserCommand::ResetPassword(args) => {
            let (admin, password) = (open(args.database)?, password()?);
            admin.reset_password(&args.user_name, &password)
        }
    };
    outcome.map_err(failed)
}

pub(super) fn list_rooms(json: bool, database: DatabaseArgs) -> Result<(), Failed> {
    let admin = open(database)?;
    if !json {
        row([&"CODE", &"OWNER", &"MESSAGES", &"NAME", &"ID"])?;
    }
    admin.rooms(|room| {
        let (code, owner) = (room.short_code.as_str(), &room.owner_name);
        if json {
            print(serde_json::json!({
                "id": room.id.0, "short_code": code, "name": room.name, "owner": owner, "last_seq": room.last_seq.0,
            }))
        } else {
            row([&code, owner, &room.last_seq, &room.name, &room.id.0])
        }
    })
}

pub(super) fn delete_room(short_code: &str, is_sure: bool, database: DatabaseArgs) -> Result<(), Failed> {
    let admin = open(database)?;
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

fn open(database: DatabaseArgs) -> Result<Admin, Failed> {
    Admin::open(&locate(database)?.database).map_err(failed)
}

/// Reads where the database is and starts the log. Commands print their output, and log only failures and audit lines.
fn locate(database: DatabaseArgs) -> Result<DatabaseLocation, Failed> {
    let location = database.load()?;
    log_failures();
    Ok(location)
}

/// Starts the log with failures and audit lines only.
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

/// Asks for a password twice, since it is not shown. Without a terminal, reads the first line of the input. Never takes it
/// from the command line, which every user of a machine can read.
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
