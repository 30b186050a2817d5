//! The questions that the program asks. The next line is the answer, not a message.

/// Shown instead of a question for a password whose answer looks like a command.
pub(crate) const COMMAND_WARNING: &str =
    "that looks like a command; Enter again to use it as the password; Esc cancels";

/// What the next line answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    NewPassword {
        name: String,
    },
    Password {
        code: String,
        /// Whether a password was given before and not accepted.
        wrong: bool,
    },
    ReallyDelete {
        code: String,
    },
}

impl Question {
    /// The question, shown above the input.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::NewPassword { .. } => "password of the new room, empty for none; Esc cancels".to_owned(),
            Self::Password { code, wrong: false } => format!("password of {code}; Esc cancels"),
            Self::Password { code, wrong: true } => format!("wrong password of {code}; Esc cancels"),
            Self::ReallyDelete { code } => {
                format!("type {code} to delete this room for everybody; Esc cancels")
            }
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        !matches!(self, Self::ReallyDelete { .. })
    }
}
