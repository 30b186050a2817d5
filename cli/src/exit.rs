//! The errors of this program and their exit codes (sysexits.h).

use std::{error::Error as _, io, iter, path::PathBuf, process::ExitCode};

use grpcchatter_client::{Error as ClientError, Kind};

use crate::text;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the message may be stored; to have it stored once, send it again with --id {id}")]
    MayBeStored { id: String, source: ClientError },
    #[error("nobody is logged in at {0}: chatter login {0} USER")]
    NotLoggedIn(String),
    #[error("no server is known: name it by --url, or log in with: chatter login URL USER")]
    NoServer,
    #[error("the server at {url} speaks {}TLS: use {other}", if other.starts_with("https") { "" } else { "no " })]
    Scheme { url: String, other: String },
    #[error("there is no terminal to type the password at: use --password-stdin")]
    NoPrompt,
    #[error("the full screen needs a terminal; chatter --help lists the commands for scripts")]
    NoScreen,
    #[error("there is no password in the input")]
    NoPassword,
    #[error("a room needs a name")]
    NoName,
    #[error("an empty message cannot be sent")]
    NothingToSend,
    #[error("the invitation is for the server {0:?}: name that server by --url")]
    InvitationElsewhere(String),
    #[error("you are in no room with the short code or the name {0:?}")]
    NotIn(String),
    #[error("none of your rooms is called {0:?}, and it cannot be a short code")]
    NoRoom(String),
    #[error("several of your rooms are called {0:?}: use the short code")]
    ManyRooms(String),
    #[error("{path}: {source}")]
    Settings { path: PathBuf, source: io::Error },
    #[error("neither HOME nor the XDG folders are set")]
    NoHome,
    #[error("{path}: {source}")]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the terminal or a pipe failed: {0}")]
    Io(#[from] io::Error),
}

/// The exit code of a finished command.
pub(crate) fn exit_code(done: &Result<(), Error>) -> ExitCode {
    ExitCode::from(match done {
        Ok(()) => 0,
        // The reader of a pipe, such as `head`, has closed it.
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(Error::Client(error) | Error::MayBeStored { source: error, .. }) => client_code(error),
        Err(Error::NotLoggedIn(_)) => 77,
        Err(Error::NoServer | Error::Settings { .. } | Error::NoHome) => 78,
        Err(
            Error::Scheme { .. }
            | Error::NoPrompt
            | Error::NoScreen
            | Error::NoPassword
            | Error::NoName
            | Error::NothingToSend
            | Error::InvitationElsewhere(_),
        ) => 64,
        Err(Error::NoRoom(_) | Error::ManyRooms(_) | Error::NotIn(_)) => 66,
        Err(Error::Unwritable { .. } | Error::Io(_)) => 1,
    })
}

/// The line for standard error: what failed, and its root cause.
pub(crate) fn message(error: &Error) -> String {
    let message = error.to_string();
    let first = iter::successors(error.source(), |cause| (*cause).source()).last().map(ToString::to_string);
    text::one_line(&match first {
        Some(first) if !message.contains(&first) => format!("{message}: {first}"),
        _ => message,
    })
}

fn client_code(error: &ClientError) -> u8 {
    match (error, error.kind()) {
        (ClientError::InvalidUrl { .. }, _) | (_, Some(Kind::InvalidArgument)) => 64,
        (_, Some(Kind::NotFound)) => 66,
        (ClientError::NotLoggedIn, _) | (_, Some(Kind::Unauthenticated | Kind::PermissionDenied)) => 77,
        (ClientError::Unreachable(_) | ClientError::Untrusted(_), _) => 69,
        (ClientError::SessionFile(_) | ClientError::InvalidAuthority(_), _) => 78,
        _ if error.is_retryable() => 75,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_code() {
        let code_of = |error: ClientError| client_code(&error);
        assert_eq!(code_of(ClientError::NotLoggedIn), 77);
        assert_eq!(code_of(ClientError::TimedOut), 75);
        assert_eq!(code_of(ClientError::Disconnected), 1);
        let url = ClientError::InvalidUrl { url: String::new(), why: String::new() };
        assert_eq!(code_of(url), 64);
    }

    #[test]
    fn a_message_that_may_be_stored_says_how_to_send_it_again() {
        let id = "0190-mine".to_owned();
        let source = Box::new(ClientError::TimedOut);
        let source = ClientError::Unacknowledged { client_message_id: id.clone(), source };
        let error = Error::MayBeStored { id, source };
        let message = message(&error);
        assert_eq!(
            message,
            "the message may be stored; to have it stored once, send it again with --id 0190-mine: the server did not \
             answer in time"
        );
        assert_eq!(exit_code(&Err(error)), ExitCode::from(75));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let done = Err(Error::Io(io::Error::from(io::ErrorKind::BrokenPipe)));
        assert_eq!(exit_code(&done), ExitCode::SUCCESS);
    }
}
