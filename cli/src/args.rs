//! The command line of `chatter`.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use clap_complete::Shell;

/// Chat on a GRPCChatter server. Without a command, `chatter` opens the full screen.
#[derive(Debug, Parser)]
#[command(name = "chatter", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Server URL. Default: GRPCCHATTER_URL, or the server of the last login.
    #[arg(long, global = true)]
    pub(crate) url: Option<String>,
    /// Trust this certificate authority (PEM) in addition to the public ones.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// How long to retry while the server is unreachable or busy, such as 5s or 2m. register, login, logout, create
    /// and invite are tried once.
    #[arg(long, global = true, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 64 wrong usage, 66 no such room or user, 69 the server \
cannot be reached, 75 try again later, 77 not allowed or not logged in, 78 the settings cannot be used.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an account and log in.
    Register(Account),
    /// Log in and remember the server.
    Login(Account),
    /// Log out and end the session on the server.
    Logout,
    /// List your rooms.
    Rooms {
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Create a room, join it, and print its short code.
    Create {
        /// Name of the room.
        name: String,
        /// Read the room's password from standard input. Without a password, the short code is enough to join.
        #[arg(long)]
        password_stdin: bool,
        /// Print the room as a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Join a room and print its short code.
    Join {
        /// Short code, or an invitation as a token or a link.
        room: String,
        /// Read the room's password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Leave a room on all your devices, until you join it again.
    Leave {
        /// Short code, or the name of one of your rooms.
        room: String,
        /// Print the room that you left as a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List who is in a room now.
    Users {
        /// Short code, or the name of one of your rooms.
        room: String,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Print an invitation to a room of yours. Anyone who has it can join.
    Invite {
        /// Short code, or the name of one of your rooms.
        room: String,
        /// How long the invitation is valid, such as 1h or 7d.
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
        ttl: Duration,
        /// Print a link to the server's web page instead of a token.
        #[arg(long)]
        link: bool,
    },
    /// Send a message and wait until it is stored, for --timeout at most.
    Send {
        /// Message id: your own, or the one that a failed send printed. A message that is sent again under the same
        /// id is stored once.
        #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        id: Option<String>,
        /// Short code, or the name of one of your rooms.
        room: String,
        /// Text of the message; `-` reads it from standard input.
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Print the messages of a room as they arrive.
    Tail {
        /// Short code, or the name of one of your rooms.
        room: String,
        /// Start with this many of the newest messages.
        #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=200))]
        lines: u16,
        /// Start after the message with this number; 0 is the beginning.
        #[arg(long, value_name = "SEQ", conflicts_with = "lines", value_parser = clap::value_parser!(i64).range(0..))]
        after: Option<i64>,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Print the whole log of a room.
    Export {
        /// Short code, or the name of one of your rooms.
        room: String,
        /// Output format.
        #[arg(long, value_enum, default_value_t = Format::Json)]
        format: Format,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write one page per command.
    Man {
        /// Folder for the pages, such as chatter.1 and chatter-send.1.
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Account {
    /// Server URL, such as http://localhost:8080.
    #[arg(value_name = "URL")]
    pub(crate) server: String,
    /// User name.
    pub(crate) user: String,
    /// Read the password from standard input instead of asking for it.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

impl Format {
    /// The format that the flag `--json` selects.
    pub(crate) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
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
