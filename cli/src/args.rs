//! What can be typed after `chatter`.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use clap_complete::Shell;

/// GRPCChatter in the terminal. Without a command, it opens your rooms.
#[derive(Debug, Parser)]
#[command(name = "chatter", version, about, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The server; otherwise GRPCCHATTER_URL, or the one logged in to last.
    #[arg(long, global = true)]
    pub(crate) url: Option<String>,
    /// Trusts this certificate authority (PEM) besides the public ones.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// How long to try again while the server cannot be reached or is busy, as 5s or 2m; what makes or ends something
    /// is tried once.
    #[arg(long, global = true, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 64 wrong usage, 66 no such room or user, 69 the server \
cannot be reached, 75 try again later, 77 not allowed or not logged in, 78 the settings cannot be used.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes an account.
    Register(Account),
    /// Logs in, and remembers the server.
    Login(Account),
    /// Logs out: ends the session on the server too.
    Logout,
    /// Lists your rooms.
    Rooms {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Makes a room of yours, joins it, and prints its short code.
    Create {
        /// What it is called.
        name: String,
        /// Reads the room's password from the input; without it, the short code is enough to join.
        #[arg(long)]
        password_stdin: bool,
        /// Prints the room as a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Joins a room by its short code or an invitation, and prints its short code.
    Join {
        /// A short code, or an invitation, as a token or as a link.
        room: String,
        /// Reads the room's password from the input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Gives up a room: on every device, until you join it again.
    Leave {
        /// A short code, or the name of one of your rooms.
        room: String,
        /// Prints the room that was left as a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Lists who is in a room at the moment.
    Users {
        /// A short code, or the name of one of your rooms.
        room: String,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Prints an invitation to a room of yours: whoever has it may join.
    Invite {
        /// A short code, or the name of one of your rooms.
        room: String,
        /// How long it is good for, as 1h or 7d.
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
        ttl: Duration,
        /// Prints it as a link to the server's page.
        #[arg(long)]
        link: bool,
    },
    /// Says something in a room, and returns once it is stored; takes no longer than --timeout.
    Send {
        /// Sends it under this id, made up by the caller or printed by a send that failed: under one id, a message is
        /// stored once, however often it is sent.
        #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        id: Option<String>,
        /// A short code, or the name of one of your rooms.
        room: String,
        /// What to say; `-` reads it from the input.
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Shows what is said in a room, as it is said.
    Tail {
        /// A short code, or the name of one of your rooms.
        room: String,
        /// Begins with this many of the newest messages.
        #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=200))]
        lines: u16,
        /// Begins after the message with this number instead, as a later run of a script does; 0 is the beginning.
        #[arg(long, value_name = "SEQ", conflicts_with = "lines", value_parser = clap::value_parser!(i64).range(0..))]
        after: Option<i64>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Writes the whole log of a room.
    Export {
        /// A short code, or the name of one of your rooms.
        room: String,
        /// How.
        #[arg(long, value_enum, default_value_t = Format::Json)]
        format: Format,
    },
    /// Prints the completions of a shell.
    Completions {
        /// Which.
        shell: Shell,
    },
    /// Prints the manual page, or writes a page for each command.
    Man {
        /// Where to write the pages, as chatter.1 and chatter-send.1.
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Account {
    /// The server, as http://localhost:8080.
    #[arg(value_name = "URL")]
    pub(crate) server: String,
    /// The user's name.
    pub(crate) user: String,
    /// Reads the password from the input instead of asking for it.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line.
    Json,
    /// As people read it.
    Text,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_url_may_stand_after_the_command() {
        let args = Args::try_parse_from(["chatter", "send", "aB3xYz", "hi", "--url", "http://a"]).unwrap();
        assert_eq!(args.url.as_deref(), Some("http://a"));
    }
}
