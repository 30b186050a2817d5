//! How the command line is read: flags stand before or after the command, and what cannot be said by a flag is told.

use clap::{
    ArgMatches, Command, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use grpcchatter::config::{SETTINGS, Setting};

use super::{Cli, EXIT_CODES, settings::flag};

/// Why there is nothing to do.
pub(super) enum Unread {
    /// Help or the version was asked for, or the line is none.
    Clap(clap::Error),
    /// A secret was to be given by a flag.
    Secret(&'static Setting),
}

/// Reads the command line.
pub(super) fn read() -> Result<Cli, Unread> {
    let described = described();
    let mut parser = with_flags_before(described.clone());
    let matches = parser.try_get_matches_from_mut(std::env::args_os()).map_err(unread)?;
    if let Some((command, flag)) = not_its_own(&described, &matches) {
        let told = format!("--{flag} does not count for `{command}`");
        return Err(Unread::Clap(parser.error(ErrorKind::ArgumentConflict, told)));
    }
    Cli::from_arg_matches(&matches).map_err(Unread::Clap)
}

/// Returns the command line as it is described: each command with the flags that count for it. All tell the exit codes.
pub(super) fn described() -> Command {
    with_exit_codes(Cli::command())
}

fn with_exit_codes(command: Command) -> Command {
    command.after_help(EXIT_CODES).mut_subcommands(with_exit_codes)
}

/// Takes the flags of the settings before the command as well. One that stands after it is stronger.
fn with_flags_before(command: Command) -> Command {
    let command = command.mut_args(|arg| arg.global(true));
    let flags: Vec<_> = command.get_arguments().map(|arg| arg.clone().global(false).hide(true)).collect();
    // Those that do not count for a command are told when they are given, and are not in its help.
    command.mut_subcommands(|below| with_hidden(below, &flags))
}

fn with_hidden(mut command: Command, flags: &[clap::Arg]) -> Command {
    for flag in flags {
        if command.get_arguments().all(|arg| arg.get_id() != flag.get_id()) {
            command = command.arg(flag.clone());
        }
    }
    command.mut_subcommands(|below| with_hidden(below, flags))
}

/// Returns the command and the first flag that was given to it and is not among its own.
fn not_its_own(described: &Command, matches: &ArgMatches) -> Option<(String, String)> {
    let (mut command, mut matches, mut path) = (described, matches, Vec::new());
    while let Some((name, below)) = matches.subcommand() {
        (command, matches) = (command.find_subcommand(name)?, below);
        path.push(name);
    }
    let is_given = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        matches.value_source(id) == Some(ValueSource::CommandLine)
            && command.get_arguments().all(|own| own.get_id() != arg.get_id())
    };
    let stray = described.get_arguments().find(is_given)?;
    Some((path.join(" "), stray.get_long()?.to_owned()))
}

fn unread(error: clap::Error) -> Unread {
    let secret = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(given))) => {
            SETTINGS.iter().find(|setting| setting.secret && given.strip_prefix("--") == Some(&flag(setting)))
        }
        _ => None,
    };
    secret.map_or(Unread::Clap(error), Unread::Secret)
}
