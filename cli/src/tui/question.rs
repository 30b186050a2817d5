//! What the program asks, so that the next line is an answer and no message.

/// What the next line answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    NewPassword {
        name: String,
    },
    Password {
        code: String,
        /// Whether one was given already, and was not it.
        wrong: bool,
    },
    ReallyDelete {
        code: String,
    },
}

impl Question {
    /// The sentence above the line; `command` tells that the answer looks like a command and was not taken yet.
    pub(crate) fn text(&self, command: bool) -> String {
        match self {
            Self::NewPassword { .. } | Self::Password { .. } if command => {
                "that looks like a command; Enter again: it is the password; Esc gives up".to_owned()
            }
            Self::NewPassword { .. } => "password of the new room, or none; Esc gives up".to_owned(),
            Self::Password { code, wrong: false } => format!("password of {code}; Esc gives up"),
            Self::Password { code, wrong: true } => format!("wrong password of {code}; Esc gives up"),
            Self::ReallyDelete { code } => {
                format!("type {code} to delete this room for everybody; Esc gives up")
            }
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        !matches!(self, Self::ReallyDelete { .. })
    }
}
