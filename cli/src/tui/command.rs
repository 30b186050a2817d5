//! What is typed after a slash.

use std::time::Duration;

/// A command of the input line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Create { name: String },
    Join { key: String },
    Invite { ttl: Option<Duration> },
    Rename { name: String },
    Leave,
    Users,
    Retry,
    Remove { user: String },
    Ban { user: String },
    Unban { user: String },
    Delete,
    Help,
    Quit,
}

/// The help, a line a command.
pub(crate) const HELP: &[(&str, &str)] = &[
    ("/create NAME", "make a room; its password is asked for"),
    ("/join CODE", "enter a room, or one that an invitation is for"),
    ("/invite [1h]", "make an invitation to this room"),
    ("/users", "who is here"),
    ("/retry", "send again what could not be sent"),
    ("/rename NAME", "give this room another name"),
    ("/remove USER", "put somebody out; /ban and /unban likewise"),
    ("/leave", "give up this room"),
    ("/delete", "delete this room and all that was said"),
    ("/quit", "or Ctrl-C"),
    ("Alt-↑ Alt-↓", "the room above, the room below; Tab: one with news"),
    ("PgUp PgDn", "scroll; Esc: to the newest"),
    ("↑ ↓", "what you typed before"),
];

/// Reads a line that begins with a slash.
///
/// # Errors
/// A sentence for the person who typed it.
pub(crate) fn parse(line: &str) -> Result<Command, String> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let needed = |what: &str| match rest {
        "" => Err(format!("{word} needs {what}")),
        rest => Ok(rest.to_owned()),
    };
    Ok(match word {
        "/create" => Command::Create { name: needed("the room's name")? },
        "/join" => Command::Join { key: needed("a short code or an invitation")? },
        "/invite" if rest.is_empty() => Command::Invite { ttl: None },
        "/invite" => {
            let ttl =
                humantime::parse_duration(rest).map_err(|_| format!("{rest:?} is no duration, as 1h"))?;
            Command::Invite { ttl: Some(ttl) }
        }
        "/rename" => Command::Rename { name: needed("the new name")? },
        "/remove" => Command::Remove { user: needed("the user's name")? },
        "/ban" => Command::Ban { user: needed("the user's name")? },
        "/unban" => Command::Unban { user: needed("the user's name")? },
        "/leave" => Command::Leave,
        "/users" => Command::Users,
        "/retry" => Command::Retry,
        "/delete" => Command::Delete,
        "/help" | "/?" => Command::Help,
        "/quit" | "/exit" => Command::Quit,
        other => return Err(format!("{other} is unknown; /help lists the commands")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_spaces() {
        assert_eq!(
            parse("/create High  mountains "),
            Ok(Command::Create { name: "High  mountains".to_owned() })
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(parse("/join").unwrap_err(), "/join needs a short code or an invitation");
        assert_eq!(parse("/dance").unwrap_err(), "/dance is unknown; /help lists the commands");
    }

    #[test]
    fn an_invitation_lasts_as_long_as_asked() {
        assert_eq!(parse("/invite"), Ok(Command::Invite { ttl: None }));
        assert_eq!(parse("/invite 2h"), Ok(Command::Invite { ttl: Some(Duration::from_secs(7200)) }));
        assert!(parse("/invite soon").is_err());
    }
}
