//! The command line: one file for each sort of command.

mod admin;
mod confirm;
mod healthcheck;
mod line;
mod output;
mod papers;
mod people;
mod serve;
mod settings;
mod table;

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
    line::Unread,
    output::print,
    settings::{CheckArgs, PlaceArgs, ReachArgs, ServeArgs, SettingArgs, flag},
};

const EXIT_CODES: &str = "Exit codes: 0 done, 64 wrong flags or settings, 65 a name or a password that cannot be taken, or an account that owns rooms, \
66 no such user or room, 69 the database or the server cannot be reached or used, 73 a file or a folder cannot be written, \
74 the output cannot be written, 75 a port, DATA_DIR or the database is taken, its file was moved, or the certificate is not \
valid now, 130 a second signal.";

/// The exit code of a command line that is none (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// Real-time chat behind one port: gRPC, gRPC-web and REST, with a durable log.
#[derive(Parser)]
#[command(name = "grpcchatter", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Task>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Task {
    /// Serves until SIGTERM or SIGINT; what happens without a subcommand
    Serve(ServeArgs),
    /// Brings the database to this version, and ends; a server does it by itself when it starts
    Migrate(SettingArgs),
    /// Reads the settings as `serve` would, and says what is wrong with them
    CheckConfig(CheckArgs),
    /// Asks the server on this machine whether it is ready; ends with 69 where it is not
    Healthcheck(ReachArgs),
    /// Copies the SQLite database into a new file while the server runs
    Backup {
        /// The file, which must not be there yet
        file: PathBuf,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Lists, makes, disables and deletes accounts, and gives them new passwords
    #[command(subcommand)]
    User(UserTask),
    /// Lists and deletes rooms
    #[command(subcommand)]
    Room(RoomTask),
    /// Prints a new secret for SECRET or SECRET_FILE
    Secret,
    /// Prints the description of the REST calls, in OpenAPI 3.1
    Openapi,
    /// Prints the completions of a shell
    Completions {
        /// Which
        shell: Shell,
    },
    /// Prints the manual page, or writes a page for each command
    Man {
        /// Where to write the pages, as grpcchatter.1 and grpcchatter-backup.1
        folder: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum UserTask {
    /// Lists all accounts
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Shows an account and the rooms that it owns
    Show {
        /// As one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        user: UserArgs,
    },
    /// Deletes an account that owns no rooms; its messages stay, without a name
    Delete {
        /// Asks nothing
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        user: UserArgs,
    },
    /// Makes an account; the password is asked for, or is the first line of the input
    Add(UserArgs),
    /// Ends a user's sessions and refuses their logins; their messages and rooms stay
    Disable(UserArgs),
    /// Lets a disabled user log in again
    Enable(UserArgs),
    /// Gives a user a new password, which is asked for or is the first line of the input, and ends their sessions
    ResetPassword(UserArgs),
}

#[derive(Subcommand)]
enum RoomTask {
    /// Lists all rooms
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Deletes a room with its messages, whoever owns it
    Delete {
        /// Asks nothing
        #[arg(long)]
        yes: bool,
        /// The room's short code
        short_code: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(clap::Args)]
struct UserArgs {
    /// The user's name
    user_name: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Why a command ends before it is done: what to say, if anything, and the exit code.
struct Failed {
    error: Option<Box<dyn Error>>,
    code: u8,
}

impl Failed {
    fn new(error: impl Into<Box<dyn Error>>, code: u8) -> Self {
        Self { error: Some(error.into()), code }
    }

    /// An end that is no failure.
    fn quietly() -> Self {
        Self { error: None, code: 0 }
    }
}

/// Does what the command line asks for.
pub(crate) fn run() -> ExitCode {
    match line::read().map_err(unread).and_then(done) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => tell(&failed),
    }
}

fn unread(unread: Unread) -> Failed {
    match unread {
        Unread::Secret(setting) => Failed::new(no_flag(setting), USAGE),
        Unread::Clap(error) if error.use_stderr() => {
            // Where nobody can be told the exit code still says it.
            drop(error.print());
            Failed { error: None, code: USAGE }
        }
        // Help and version come as errors, too.
        Unread::Clap(error) => output::written(error.print()).err().unwrap_or(Failed::quietly()),
    }
}

/// Says how a secret is given.
fn no_flag(setting: &Setting) -> String {
    let (flag, name) = (flag(setting), setting.name);
    let file = if name == "SECRET" { ", or SECRET_FILE to a file that holds it" } else { "" };
    format!(
        "--{flag} is no flag, since everybody on this machine can read a command line; set {name} in the environment or in \
         the settings file{file}"
    )
}

fn done(cli: Cli) -> Result<(), Failed> {
    // Whatever a command makes is its owner's alone: the database and its journals hold what was said, hashes and secrets.
    // Who wants others to read a copy says so with chmod.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    match cli.command.unwrap_or(Task::Serve(cli.serve)) {
        Task::Serve(args) => serve::serve(args),
        Task::Migrate(args) => admin::migrate(args),
        Task::CheckConfig(args) => admin::check_config(args),
        Task::Healthcheck(args) => healthcheck::healthcheck(args),
        Task::Backup { file, place } => admin::backup(&file, place),
        Task::User(task) => admin::user(task),
        Task::Room(RoomTask::List { json, place }) => admin::list_rooms(json, place),
        Task::Room(RoomTask::Delete { yes, short_code, place }) => {
            admin::delete_room(&short_code, yes, place)
        }
        Task::Secret => admin::secret(),
        Task::Openapi => papers::openapi(),
        Task::Completions { shell } => papers::completions(shell),
        Task::Man { folder } => papers::man(folder),
    }
}

/// Says on standard error what is wrong: the log may be off, or in JSON, or not there yet.
fn tell(Failed { error, code }: &Failed) -> ExitCode {
    let Some(error) = error else { return (*code).into() };
    let mut sentence = format!("grpcchatter: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(&format!(": {error}"));
        cause = error.source();
    }
    // A setting's value may be in it, or a path. Where standard error is closed the exit code still says it.
    for line in sentence.lines() {
        drop(writeln!(io::stderr(), "{}", printable(line)));
    }
    (*code).into()
}
