//! The login form: server, user name and password.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::Error as ClientError;

use super::input::Input;
use crate::{
    exit::{self, Error},
    reasons,
};

/// The URL of a server on this machine.
const DEFAULT_SERVER: &str = "http://localhost:8080";

/// Whether the form logs in or creates an account first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    LogIn,
    Register,
}

/// A field of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Server,
    Name,
    Password,
    /// The password of a new account again, since it is hidden.
    Repeat,
    /// Switches between logging in and creating an account.
    Switch,
}

/// A submitted form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginAttempt {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) mode: Mode,
}

#[derive(Debug)]
pub(crate) struct LoginForm {
    pub(crate) mode: Mode,
    pub(crate) focus: Field,
    pub(crate) server: Input,
    pub(crate) name: Input,
    pub(crate) password: Input,
    pub(crate) repeat: Input,
    /// The field with an error, and the error.
    pub(crate) error: Option<(Field, String)>,
    /// Why the form is shown, above the fields.
    pub(crate) why: Option<String>,
    /// Whether an attempt is in flight.
    pub(crate) busy: bool,
    pub(crate) quit: bool,
}

impl LoginForm {
    pub(crate) fn new(url: Option<&str>, name: Option<&str>, why: Option<&str>) -> Self {
        let mut form = Self {
            mode: Mode::LogIn,
            focus: match (url, name) {
                (None, _) => Field::Server,
                (_, None) => Field::Name,
                _ => Field::Password,
            },
            server: Input::default(),
            name: Input::default(),
            password: Input::default(),
            repeat: Input::default(),
            error: None,
            why: why.map(str::to_owned),
            busy: false,
            quit: false,
        };
        form.server.set(url.unwrap_or(DEFAULT_SERVER));
        form.name.set(name.unwrap_or_default());
        form
    }

    /// The fields from top to bottom.
    pub(crate) fn fields(&self) -> &'static [Field] {
        match self.mode {
            Mode::LogIn => &[Field::Server, Field::Name, Field::Password, Field::Switch],
            Mode::Register => &[Field::Server, Field::Name, Field::Password, Field::Repeat, Field::Switch],
        }
    }

    pub(crate) fn input(&self, field: Field) -> Option<&Input> {
        match field {
            Field::Server => Some(&self.server),
            Field::Name => Some(&self.name),
            Field::Password => Some(&self.password),
            Field::Repeat => Some(&self.repeat),
            Field::Switch => None,
        }
    }

    fn focused(&mut self) -> Option<&mut Input> {
        match self.focus {
            Field::Server => Some(&mut self.server),
            Field::Name => Some(&mut self.name),
            Field::Password => Some(&mut self.password),
            Field::Repeat => Some(&mut self.repeat),
            Field::Switch => None,
        }
    }

    /// Handles a paste as one line: passwords are often copied with their line break.
    pub(crate) fn paste(&mut self, text: &str) {
        let line = text.trim_end_matches(['\r', '\n']).replace(['\r', '\n'], " ");
        if !self.busy
            && let Some(input) = self.focused()
        {
            input.insert(&line);
        }
    }

    /// Handles a key; returns the attempt if the form was submitted.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<LoginAttempt> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'q') if control => self.quit = true,
            // An attempt is in flight: wait for its result.
            _ if self.busy => {}
            KeyCode::F(2) => self.switch(),
            KeyCode::Tab | KeyCode::Down => self.go(1),
            KeyCode::BackTab | KeyCode::Up => self.go(self.fields().len() - 1),
            KeyCode::Enter => match self.focus {
                Field::Server | Field::Name => self.go(1),
                Field::Password if self.mode == Mode::Register => self.go(1),
                Field::Password | Field::Repeat => return self.submit(),
                Field::Switch => self.switch(),
            },
            _ => {
                if let Some(input) = self.focused() {
                    input.key(key);
                }
            }
        }
        None
    }

    fn go(&mut self, steps: usize) {
        let fields = self.fields();
        let index = fields.iter().position(|field| *field == self.focus).unwrap_or_default();
        self.focus = fields[(index + steps) % fields.len()];
    }

    fn switch(&mut self) {
        self.mode = match self.mode {
            Mode::LogIn => Mode::Register,
            Mode::Register => Mode::LogIn,
        };
        self.error = None;
        self.repeat.set("");
        self.focus = if self.name.is_empty() { Field::Name } else { Field::Password };
    }

    fn submit(&mut self) -> Option<LoginAttempt> {
        self.error = None;
        let (url, name) = (self.server.text().trim().to_owned(), self.name.text().trim().to_owned());
        let password = self.password.text();
        let missing = [
            (Field::Server, url.is_empty(), "the server's address is needed, as http://localhost:8080"),
            (Field::Name, name.is_empty(), "a name is needed"),
            (Field::Password, password.is_empty(), "a password is needed"),
            (
                Field::Repeat,
                self.mode == Mode::Register && self.repeat.text() != password,
                "the passwords differ",
            ),
        ];
        if let Some((field, _, why)) = missing.into_iter().find(|(_, is, _)| *is) {
            self.show_error(field, why.to_owned());
            return None;
        }
        self.busy = true;
        Some(LoginAttempt { url, name, password, mode: self.mode })
    }

    /// The account exists now: only the login is left.
    pub(crate) fn registered(&mut self) {
        self.mode = Mode::LogIn;
    }

    /// The attempt failed: focuses the field to correct.
    pub(crate) fn failed(&mut self, error: &Error) {
        self.busy = false;
        let field = match error {
            Error::Client(error) if reasons::is_about_user_name(error) => Field::Name,
            Error::Scheme { .. }
            | Error::Client(
                ClientError::InvalidUrl { .. }
                | ClientError::Unreachable(_)
                | ClientError::Untrusted(_)
                | ClientError::TimedOut
                | ClientError::Malformed(_),
            ) => Field::Server,
            _ => Field::Password,
        };
        let why = match error {
            Error::Client(error) if reasons::is_wrong_credentials(error) => {
                "wrong name or password".to_owned()
            }
            error => exit::message(error),
        };
        if let Error::Client(error) = error
            && reasons::is_about_password(error)
        {
            self.password.set("");
            self.repeat.set("");
        }
        self.show_error(field, why);
    }

    fn show_error(&mut self, field: Field, why: String) {
        self.focus = field;
        self.error = Some((field, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "http://localhost:8080";

    fn press(form: &mut LoginForm, code: KeyCode) -> Option<LoginAttempt> {
        form.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn fill(form: &mut LoginForm, text: &str) -> Option<LoginAttempt> {
        form.paste(text);
        press(form, KeyCode::Enter)
    }

    #[test]
    fn name_and_password_log_in() {
        let mut form = LoginForm::new(Some(HERE), None, None);
        assert_eq!(fill(&mut form, " walker1 "), None);
        let attempt = fill(&mut form, "Secret-1!\r\n").unwrap();
        assert_eq!((attempt.name.as_str(), attempt.password.as_str()), ("walker1", "Secret-1!"));
        assert!(form.busy && attempt.mode == Mode::LogIn && attempt.url == HERE);
        assert_eq!(press(&mut form, KeyCode::Enter), None, "once");
    }

    #[test]
    fn registration_repeats_the_password() {
        let mut form = LoginForm::new(Some(HERE), None, None);
        press(&mut form, KeyCode::F(2));
        fill(&mut form, "walker1");
        fill(&mut form, "Secret-1!");
        assert_eq!(fill(&mut form, "Secret-2!"), None);
        assert_eq!(form.error, Some((Field::Repeat, "the passwords differ".to_owned())));
        form.repeat.set("");
        assert_eq!(fill(&mut form, "Secret-1!").unwrap().mode, Mode::Register);
    }

    #[test]
    fn a_missing_value_gets_the_focus() {
        let mut form = LoginForm::new(None, None, None);
        assert_eq!(form.focus, Field::Server);
        for _ in 0..3 {
            assert_eq!(press(&mut form, KeyCode::Enter), None);
        }
        assert_eq!(form.error, Some((Field::Name, "a name is needed".to_owned())));
        assert_eq!(form.focus, Field::Name);
    }

    #[test]
    fn an_error_is_shown_at_its_field() {
        let mut form = LoginForm::new(Some(HERE), Some("walker1"), None);
        fill(&mut form, "Secret-1!");
        let url = ClientError::InvalidUrl { url: "x".to_owned(), why: "it is not a URL".to_owned() };
        form.failed(&url.into());
        assert!(!form.busy);
        assert!(matches!(&form.error, Some((Field::Server, why)) if why.contains("it is not a URL")));
        let other = Error::Scheme { url: HERE.to_owned(), other: "https://localhost:8080".to_owned() };
        form.failed(&other);
        assert!(matches!(&form.error, Some((Field::Server, why)) if why.contains("https://")));
    }
}
