//! The command line, with a file for each kind of command.

mod admin;
mod confirm;
mod generate;
mod healthcheck;
mod line;
mod output;
mod serve;
mod settings;
mod table;
mod users;

use std::{
    error::Error,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use grpcchatter::{app::printable, config::Setting};

use rustix::fs::Mode;

use self::{
    line::LineError,
    output::print,
    settings::{CheckArgs, DatabaseArgs, HealthcheckArgs, ServeArgs, SettingArgs, flag},
};

const EXIT_CODES: &str = "Exit codes: 0 done, 64 invalid flags or settings, 65 a name or password is not accepted, or the account owns rooms, \
66 no such user or room, 69 the database or the server cannot be reached or used, 73 a file or folder cannot be written, \
74 the output cannot be written, 75 a port, DATA_DIR or the database is in use, its file was moved, or the certificate is \
not valid now, 130 a second signal.";

/// The exit code of an invalid command line (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// Real-time chat behind one port: gRPC, gRPC-web and REST, with a durable log.
#[derive(Parser)]
#[command(name = "grpcchatter", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Serve until SIGTERM or SIGINT; this is the default
    Serve(ServeArgs),
    /// Migrate the database to this version; a server does so itself when it starts
    Migrate(SettingArgs),
    /// Read the settings as `serve` does and report errors in them
    CheckConfig(CheckArgs),
    /// Ask the server on this machine whether it is ready; exit with 69 if it is not
    Healthcheck(HealthcheckArgs),
    /// Copy the SQLite database into a new file while the server runs
    Backup {
        /// The file to create; it must not exist
        file: PathBuf,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List, create, disable and delete accounts, and set their passwords
    #[command(subcommand)]
    User(UserCommand),
    /// List and delete rooms
    #[command(subcommand)]
    Room(RoomCommand),
    /// Print a new secret for SECRET or SECRET_FILE
    Secret,
    /// Print the OpenAPI 3.1 description of the REST API
    Openapi,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command
    Man {
        /// The folder to write pages to, such as grpcchatter.1 and grpcchatter-backup.1
        folder: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// List all accounts
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Show an account and the rooms that it owns
    Show {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        user: UserArgs,
    },
    /// Delete an account that owns no rooms; its messages stay, without a name
    Delete {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        user: UserArgs,
    },
    /// Create an account; asks for the password, or reads it from the first line of the input
    Add(UserArgs),
    /// End a user's sessions and refuse their logins; their messages and rooms stay
    Disable(UserArgs),
    /// Allow a disabled user to log in again
    Enable(UserArgs),
    /// Set a user's password and end their sessions; asks for the password, or reads it from the first line of the input
    ResetPassword(UserArgs),
}

#[derive(Subcommand)]
enum RoomCommand {
    /// List all rooms
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Delete a room with its messages, no matter who owns it
    Delete {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// The room's short code
        short_code: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(clap::Args)]
struct UserArgs {
    /// The user's name
    user_name: String,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Why a command ends early: the error to print, if any, and the exit code.
struct Failed {
    error: Option<Box<dyn Error>>,
    code: u8,
}

impl Failed {
    fn new(error: impl Into<Box<dyn Error>>, code: u8) -> Self {
        Self { error: Some(error.into()), code }
    }

    /// An early end that is not a failure.
    fn quietly() -> Self {
        Self { error: None, code: 0 }
    }
}

/// Runs the command line.
pub(crate) fn run() -> ExitCode {
    match line::read().map_err(failed).and_then(dispatch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => report(&failed),
    }
}

fn failed(error: LineError) -> Failed {
    match error {
        LineError::SecretFlag(setting) => Failed::new(secret_flag(setting), USAGE),
        LineError::Clap(error) if error.use_stderr() => {
            // If standard error is closed, the exit code still reports it.
            drop(error.print());
            Failed { error: None, code: USAGE }
        }
        // clap returns help and version as errors too.
        LineError::Clap(error) => output::written(error.print()).err().unwrap_or(Failed::quietly()),
    }
}

/// Returns how to set a secret.
fn secret_flag(setting: &Setting) -> String {
    let (flag, name) = (flag(setting), setting.name);
    let file = if name == "SECRET" { ", or SECRET_FILE to a file that holds it" } else { "" };
    format!(
        "--{flag} is not a flag, since every user of this machine can read a command line; set {name} in the environment \
         or in the settings file{file}"
    )
}

fn dispatch(cli: Cli) -> Result<(), Failed> {
    // Only the owner may read files that a command creates: they hold messages, hashes and secrets. chmod allows more.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    match cli.command.unwrap_or(CliCommand::Serve(cli.serve)) {
        CliCommand::Serve(args) => serve::serve(args),
        CliCommand::Migrate(args) => admin::migrate(args),
        CliCommand::CheckConfig(args) => admin::check_config(args),
        CliCommand::Healthcheck(args) => healthcheck::healthcheck(args),
        CliCommand::Backup { file, database } => admin::backup(&file, database),
        CliCommand::User(task) => admin::user(task),
        CliCommand::Room(RoomCommand::List { json, database }) => admin::list_rooms(json, database),
        CliCommand::Room(RoomCommand::Delete { yes, short_code, database }) => {
            admin::delete_room(&short_code, yes, database)
        }
        CliCommand::Secret => admin::secret(),
        CliCommand::Openapi => generate::openapi(),
        CliCommand::Completions { shell } => generate::completions(shell),
        CliCommand::Man { folder } => generate::man(folder),
    }
}

/// Prints an error to standard error: the log may be off, in JSON, or not started yet.
fn report(Failed { error, code }: &Failed) -> ExitCode {
    let Some(error) = error else { return (*code).into() };
    let mut sentence = format!("grpcchatter: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(&format!(": {error}"));
        cause = error.source();
    }
    // It may contain a setting's value or a path. If standard error is closed, the exit code still reports the failure.
    for line in sentence.lines() {
        drop(writeln!(io::stderr(), "{}", printable(line)));
    }
    (*code).into()
}
