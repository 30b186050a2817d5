//! The slash commands: help and parser.

use std::time::Duration;

/// A parsed command.
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
    LogIn,
    Help,
    Quit,
}

/// A line of the help.
#[derive(Debug)]
pub(crate) struct Help {
    /// The command with its arguments, or keys.
    pub(crate) usage: &'static str,
    pub(crate) does: &'static str,
}

impl Help {
    /// The command without its arguments.
    pub(crate) fn word(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or(self.usage)
    }
}

const fn help(usage: &'static str, does: &'static str) -> Help {
    Help { usage, does }
}

/// The commands.
pub(crate) const HELP: &[Help] = &[
    help("/create NAME", "create a room; asks for its password"),
    help("/join CODE", "join a room by its code, an invitation or a link"),
    help("/invite [1h]", "create an invitation link to this room"),
    help("/users", "who is here"),
    help("/retry", "send failed messages again"),
    help("/rename NAME", "rename this room"),
    help("/remove USER", "remove a user"),
    help("/ban USER", "ban a user"),
    help("/unban USER", "lift a ban"),
    help("/leave", "leave this room"),
    help("/delete", "delete this room and its messages"),
    help("/login", "log in again, or as another user"),
    help("/help", "this help; also F1 and ?"),
    help("/quit", "or Ctrl-C"),
];

/// The keys.
pub(crate) const KEYS: &[Help] = &[
    help("Tab", "complete a word; in an empty line: the next unread room"),
    help("Alt-Enter", "new line; so does Ctrl-J"),
    help("Alt-↑ Alt-↓", "the room above, the room below"),
    help("PgUp PgDn", "scroll; Esc: to the newest"),
    help("↑ ↓", "what you typed before"),
];

/// The help for commands that start with `typed`.
pub(crate) fn help_for(typed: &str) -> impl Iterator<Item = &'static Help> {
    let word = typed.split_whitespace().next().unwrap_or_default().to_owned();
    let whole = typed.contains(char::is_whitespace);
    HELP.iter().filter(move |it| if whole { it.word() == word } else { it.word().starts_with(&word) })
}

/// Whether the line starts with an existing command.
pub(crate) fn is_command(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    HELP.iter().any(|it| it.word() == word)
}

/// Parses a line that starts with a slash.
///
/// # Errors
/// A sentence for the user.
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
        "/login" => Command::LogIn,
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
    fn a_missing_argument_is_named() {
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
