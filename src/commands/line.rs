//! Parses the command line. Flags may come before or after the command; a flag that does not apply is reported.

use clap::{
    ArgMatches, Command, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use grpcchatter::config::{SETTINGS, Setting};

use super::{Cli, EXIT_CODES, settings::flag};

/// Why there is no command to run.
pub(super) enum LineError {
    /// Help or the version was requested, or the line is invalid.
    Clap(clap::Error),
    /// A secret was given as a flag.
    SecretFlag(&'static Setting),
}

/// Parses the command line.
pub(super) fn read() -> Result<Cli, LineError> {
    let described = described();
    let mut parser = with_flags_before(described.clone());
    let matches = parser.try_get_matches_from_mut(std::env::args_os()).map_err(classify)?;
    if let Some((command, flag)) = inapplicable_flag(&described, &matches) {
        let problem = format!("--{flag} does not apply to `{command}`");
        return Err(LineError::Clap(parser.error(ErrorKind::ArgumentConflict, problem)));
    }
    Cli::from_arg_matches(&matches).map_err(LineError::Clap)
}

/// Returns the command line for help and manual pages: each command with the flags that apply to it, and the exit codes.
pub(super) fn described() -> Command {
    with_exit_codes(Cli::command())
}

fn with_exit_codes(command: Command) -> Command {
    command.after_help(EXIT_CODES).mut_subcommands(with_exit_codes)
}

/// Accepts the flags of the settings before the command as well. One after the command overrides it.
fn with_flags_before(command: Command) -> Command {
    let command = command.mut_args(|arg| arg.global(true));
    let flags: Vec<_> = command.get_arguments().map(|arg| arg.clone().global(false).hide(true)).collect();
    // Flags that do not apply to a command are hidden in its help, and reported if they are given.
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

/// Returns the command and the first given flag that does not apply to it.
fn inapplicable_flag(described: &Command, matches: &ArgMatches) -> Option<(String, String)> {
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

fn classify(error: clap::Error) -> LineError {
    let secret = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(given))) => {
            SETTINGS.iter().find(|setting| setting.secret && given.strip_prefix("--") == Some(&flag(setting)))
        }
        _ => None,
    };
    secret.map_or(LineError::Clap(error), LineError::SecretFlag)
}
