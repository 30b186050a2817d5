//! What keys and lines do to the screen.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::new_message_id;

use super::{
    app::{App, Notice, Question},
    command::{self, Command},
    news::{Cure, Effect},
    room::{Link, Older, Pending, RoomView},
};

const NO_ROOM: &str = "there is no room yet: /create or /join one";

impl App {
    pub(crate) fn paste(&mut self, text: &str) {
        self.input.insert(text);
    }

    /// Takes a key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.notice = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let other = key.modifiers.contains(KeyModifiers::ALT);
        let page = (self.log_height / 2).max(1);
        match key.code {
            KeyCode::Char('c' | 'q') if control => self.quit = true,
            KeyCode::F(1) => self.help = !self.help,
            KeyCode::Esc => {
                self.help = false;
                if self.question.take().is_some() {
                    self.input.set("");
                }
                self.scroll(|_| 0);
            }
            KeyCode::PageUp => self.scroll(|lines| lines + page),
            KeyCode::PageDown => self.scroll(|lines| lines.saturating_sub(page)),
            KeyCode::Up if other => return self.go(self.current.saturating_sub(1)),
            KeyCode::Down if other && self.current + 1 < self.rooms.len() => {
                return self.go(self.current + 1);
            }
            KeyCode::Tab => {
                let news = (1..=self.rooms.len()).map(|step| (self.current + step) % self.rooms.len());
                let next = news.clone().find(|place| self.rooms[*place].unread > 0);
                if let Some(place) = next.or_else(|| news.clone().next()) {
                    return self.go(place);
                }
            }
            KeyCode::Enter => return self.enter_pressed(),
            _ => {
                self.help &= !self.input.key(key);
            }
        }
        Vec::new()
    }

    fn scroll(&mut self, to: impl FnOnce(usize) -> usize) {
        if let Some(room) = self.rooms.get_mut(self.current) {
            room.scroll = to(room.scroll);
            // Whoever goes on scrolling asks once more.
            if room.older == Older::Failed {
                room.older = Older::Unasked;
            }
        }
    }

    fn enter_pressed(&mut self) -> Vec<Effect> {
        self.help = false;
        if let Some(question) = self.question.take() {
            let answer = self.input.take(false);
            return self.answered(question, answer);
        }
        let line = self.input.take(true);
        match line.trim() {
            "" => Vec::new(),
            // Two slashes say one.
            spoken if !spoken.starts_with('/') => self.say(spoken.to_owned()),
            spoken if spoken.starts_with("//") => self.say(spoken[1..].to_owned()),
            typed => match command::parse(typed) {
                Ok(command) => self.command(command),
                Err(why) => self.refuse(why),
            },
        }
    }

    fn answered(&mut self, question: Question, answer: String) -> Vec<Effect> {
        match question {
            Question::NewPassword { name } => vec![Effect::Create { name, password: answer }],
            Question::Password { code } => vec![Effect::Enter { code, password: answer }],
            Question::ReallyDelete { code } if answer.trim() == code => vec![Effect::Delete { code }],
            Question::ReallyDelete { .. } => {
                self.notice = Some(Notice::Told("nothing was deleted".to_owned()));
                Vec::new()
            }
        }
    }

    fn say(&mut self, body: String) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return self.refuse(NO_ROOM) };
        if let Link::Closed { .. } = room.link {
            self.input.set(&body);
            return self.refuse("you are not in this room: /join it again");
        }
        room.scroll = 0;
        let id = new_message_id();
        room.pending.push(Pending { id: id.clone(), body: body.clone(), failed: None, stored: None });
        vec![Effect::Send { code: room.info.short_code.clone(), id, body }]
    }

    fn command(&mut self, command: Command) -> Vec<Effect> {
        let effect = match command {
            Command::Help => {
                self.help = true;
                return Vec::new();
            }
            Command::Quit => {
                self.quit = true;
                return Vec::new();
            }
            Command::Create { name } => {
                self.question = Some(Question::NewPassword { name });
                return Vec::new();
            }
            // An invitation is a token with dots in it; a short code is letters and digits.
            Command::Join { key } if key.contains('.') => Effect::EnterByInvitation { token: key },
            Command::Join { key } => match self.place(&key) {
                Some(place) if !matches!(self.rooms[place].link, Link::Closed { .. }) => {
                    return self.go(place);
                }
                _ => Effect::Enter { code: key, password: String::new() },
            },
            inside => return self.command_inside(inside),
        };
        vec![effect]
    }

    /// A command about the room that is looked at.
    fn command_inside(&mut self, command: Command) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return self.refuse(NO_ROOM) };
        let code = room.info.short_code.clone();
        let effect = match command {
            Command::Users => {
                let names = room.people.join(", ");
                room.note(format!("here: {names}"));
                return Vec::new();
            }
            Command::Retry => return retry(room),
            Command::Delete => {
                self.question = Some(Question::ReallyDelete { code });
                return Vec::new();
            }
            Command::Invite { ttl } => Effect::Invite { code, ttl },
            Command::Rename { name } => Effect::Rename { code, name },
            Command::Remove { user } => Effect::Remove { code, user, ban: false },
            Command::Ban { user } => Effect::Remove { code, user, ban: true },
            Command::Unban { user } => Effect::Unban { code, user },
            _ => match room.link {
                // There is nothing left to give up: the room is taken off the screen.
                Link::Closed { cure: Cure::Join, .. } => {
                    self.gone(&code);
                    return Vec::new();
                }
                Link::Closed { .. } | Link::Connecting => {
                    return self.refuse("this room is not entered yet, so it cannot be left");
                }
                Link::Live | Link::Reconnecting => Effect::Leave { code },
            },
        };
        vec![effect]
    }
}

/// Sends again what was given up, each under its first id.
fn retry(room: &mut RoomView) -> Vec<Effect> {
    let code = &room.info.short_code;
    let failed = room.pending.iter_mut().filter(|pending| pending.failed.is_some());
    failed
        .map(|pending| {
            pending.failed = None;
            Effect::Send { code: code.clone(), id: pending.id.clone(), body: pending.body.clone() }
        })
        .collect()
}
