//! The form at the door: whoever is not logged in says where, as whom, and by which password.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::Error as ClientError;

use super::input::Input;
use crate::{
    exit::{self, Error},
    refused,
};

/// What a server on this machine has.
const USUAL_SERVER: &str = "http://localhost:8080";

/// A line of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Server,
    Name,
    Password,
    /// The password of a new account once more, since nobody sees it.
    Again,
    /// Between logging in and making an account.
    Switch,
}

/// What the form wants to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) registers: bool,
}

#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) registers: bool,
    pub(crate) focus: Field,
    pub(crate) server: Input,
    pub(crate) name: Input,
    pub(crate) password: Input,
    pub(crate) again: Input,
    /// What is wrong, and with which line.
    pub(crate) flaw: Option<(Field, String)>,
    /// Why one stands here, above the lines.
    pub(crate) why: Option<String>,
    /// Whether the server is being asked.
    pub(crate) busy: bool,
    pub(crate) quit: bool,
}

impl Form {
    pub(crate) fn new(url: Option<&str>, name: Option<&str>, why: Option<&str>) -> Self {
        let mut form = Self {
            registers: false,
            focus: match (url, name) {
                (None, _) => Field::Server,
                (_, None) => Field::Name,
                _ => Field::Password,
            },
            server: Input::default(),
            name: Input::default(),
            password: Input::default(),
            again: Input::default(),
            flaw: None,
            why: why.map(str::to_owned),
            busy: false,
            quit: false,
        };
        form.server.set(url.unwrap_or(USUAL_SERVER));
        form.name.set(name.unwrap_or_default());
        form
    }

    /// The lines, from the top.
    pub(crate) fn fields(&self) -> &'static [Field] {
        match self.registers {
            true => &[Field::Server, Field::Name, Field::Password, Field::Again, Field::Switch],
            false => &[Field::Server, Field::Name, Field::Password, Field::Switch],
        }
    }

    pub(crate) fn input(&self, field: Field) -> Option<&Input> {
        match field {
            Field::Server => Some(&self.server),
            Field::Name => Some(&self.name),
            Field::Password => Some(&self.password),
            Field::Again => Some(&self.again),
            Field::Switch => None,
        }
    }

    fn focused(&mut self) -> Option<&mut Input> {
        match self.focus {
            Field::Server => Some(&mut self.server),
            Field::Name => Some(&mut self.name),
            Field::Password => Some(&mut self.password),
            Field::Again => Some(&mut self.again),
            Field::Switch => None,
        }
    }

    /// Takes what was pasted: one line, as a password is often copied with the end of its line.
    pub(crate) fn paste(&mut self, text: &str) {
        let line = text.trim_end_matches(['\r', '\n']).replace(['\r', '\n'], " ");
        if !self.busy
            && let Some(input) = self.focused()
        {
            input.insert(&line);
        }
    }

    /// Takes a key; returns what is to be done, if it was the last one that was needed.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<Attempt> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'q') if control => self.quit = true,
            // The server is being asked: the answer comes first.
            _ if self.busy => {}
            KeyCode::F(2) => self.switch(),
            KeyCode::Tab | KeyCode::Down => self.go(1),
            KeyCode::BackTab | KeyCode::Up => self.go(self.fields().len() - 1),
            KeyCode::Enter => match self.focus {
                Field::Server | Field::Name => self.go(1),
                Field::Password if self.registers => self.go(1),
                Field::Password | Field::Again => return self.submit(),
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
        let place = fields.iter().position(|field| *field == self.focus).unwrap_or_default();
        self.focus = fields[(place + steps) % fields.len()];
    }

    fn switch(&mut self) {
        self.registers = !self.registers;
        self.flaw = None;
        self.again.set("");
        self.focus = if self.name.is_empty() { Field::Name } else { Field::Password };
    }

    fn submit(&mut self) -> Option<Attempt> {
        self.flaw = None;
        let (url, name) = (self.server.text().trim().to_owned(), self.name.text().trim().to_owned());
        let password = self.password.text();
        let missing = [
            (Field::Server, url.is_empty(), "the server's address is needed, as http://localhost:8080"),
            (Field::Name, name.is_empty(), "a name is needed"),
            (Field::Password, password.is_empty(), "a password is needed"),
            (Field::Again, self.registers && self.again.text() != password, "this is another password"),
        ];
        if let Some((field, _, why)) = missing.into_iter().find(|(_, is, _)| *is) {
            self.refuse(field, why.to_owned());
            return None;
        }
        self.busy = true;
        Some(Attempt { url, name, password, registers: self.registers })
    }

    /// The account is made: what is left is to log in.
    pub(crate) fn registered(&mut self) {
        self.registers = false;
    }

    /// The attempt failed; where it can be mended, one may type.
    pub(crate) fn failed(&mut self, error: &Error) {
        self.busy = false;
        let field = match error {
            Error::Client(error) if refused::about_user_name(error) => Field::Name,
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
            Error::Client(error) if refused::wrong_credentials(error) => "wrong name or password".to_owned(),
            error => exit::sentence(error),
        };
        if let Error::Client(error) = error
            && refused::about_password(error)
        {
            self.password.set("");
            self.again.set("");
        }
        self.refuse(field, why);
    }

    fn refuse(&mut self, field: Field, why: String) {
        self.focus = field;
        self.flaw = Some((field, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "http://localhost:8080";

    fn press(form: &mut Form, code: KeyCode) -> Option<Attempt> {
        form.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn fill(form: &mut Form, text: &str) -> Option<Attempt> {
        form.paste(text);
        press(form, KeyCode::Enter)
    }

    #[test]
    fn name_and_password_log_in() {
        let mut form = Form::new(Some(HERE), None, None);
        assert_eq!(fill(&mut form, " walker1 "), None);
        let attempt = fill(&mut form, "Secret-1!\r\n").unwrap();
        assert_eq!((attempt.name.as_str(), attempt.password.as_str()), ("walker1", "Secret-1!"));
        assert!(form.busy && !attempt.registers && attempt.url == HERE);
        assert_eq!(press(&mut form, KeyCode::Enter), None, "once");
    }

    #[test]
    fn a_new_account_says_its_password_twice() {
        let mut form = Form::new(Some(HERE), None, None);
        press(&mut form, KeyCode::F(2));
        fill(&mut form, "walker1");
        fill(&mut form, "Secret-1!");
        assert_eq!(fill(&mut form, "Secret-2!"), None);
        assert_eq!(form.flaw, Some((Field::Again, "this is another password".to_owned())));
        form.again.set("");
        assert!(fill(&mut form, "Secret-1!").unwrap().registers);
    }

    #[test]
    fn what_is_missing_is_where_one_types_next() {
        let mut form = Form::new(None, None, None);
        assert_eq!(form.focus, Field::Server);
        for _ in 0..3 {
            assert_eq!(press(&mut form, KeyCode::Enter), None);
        }
        assert_eq!(form.flaw, Some((Field::Name, "a name is needed".to_owned())));
        assert_eq!(form.focus, Field::Name);
    }

    #[test]
    fn an_error_stands_where_it_can_be_mended() {
        let mut form = Form::new(Some(HERE), Some("walker1"), None);
        fill(&mut form, "Secret-1!");
        let url = ClientError::InvalidUrl { url: "x".to_owned(), why: "it is not a URL".to_owned() };
        form.failed(&url.into());
        assert!(!form.busy);
        assert!(matches!(&form.flaw, Some((Field::Server, why)) if why.contains("it is not a URL")));
        let other = Error::Scheme { url: HERE.to_owned(), other: "https://localhost:8080".to_owned() };
        form.failed(&other);
        assert!(matches!(&form.flaw, Some((Field::Server, why)) if why.contains("https://")));
    }
}
