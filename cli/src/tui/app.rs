//! What the screen knows, and how keys and news change it. No IO: what is to be done comes out as [`Effect`]s.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::{Event, Page, RoomInfo, new_message_id};

use super::{
    command::{self, Command},
    input::Input,
    room::{Link, Pending, RoomView},
};

/// So many rooms are entered at the start, of the 16 streams that a server allows; the others when looked at.
const LIVE_ROOMS: usize = 8;
const NO_ROOM: &str = "there is no room yet: /create or /join one";

/// Something for the worker to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Enter { code: String, password: String },
    EnterByInvitation { token: String },
    Create { name: String, password: String },
    Send { code: String, id: String, body: String },
    Older { code: String, before: i64 },
    Invite { code: String, ttl: Option<Duration> },
    Rename { code: String, name: String },
    Remove { code: String, user: String, ban: bool },
    Unban { code: String, user: String },
    Leave { code: String },
    Delete { code: String },
}

/// What the worker has to tell.
#[derive(Debug)]
pub(crate) enum News {
    Rooms(Vec<RoomInfo>),
    Entered(RoomInfo),
    /// `locked`: for want of the room's password.
    NotEntered {
        code: String,
        why: String,
        locked: bool,
    },
    Happened {
        code: String,
        event: Event,
    },
    NotSent {
        code: String,
        id: String,
        why: String,
    },
    Older {
        code: String,
        page: Page,
    },
    /// The room is not the person's any more.
    Gone {
        code: String,
    },
    Invitation {
        code: String,
        token: String,
        end: String,
    },
    Told(String),
    Failed(String),
}

/// What the next line answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    NewPassword { name: String },
    Password { code: String },
    ReallyDelete { code: String },
}

impl Question {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::NewPassword { .. } => "password of the new room, or none".to_owned(),
            Self::Password { code } => format!("password of {code}"),
            Self::ReallyDelete { code } => format!("type {code} to delete this room for everybody"),
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        !matches!(self, Self::ReallyDelete { .. })
    }
}

/// A sentence above the input line, until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    Told(String),
    Failed(String),
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) me: String,
    pub(crate) url: String,
    pub(crate) rooms: Vec<RoomView>,
    pub(crate) current: usize,
    pub(crate) input: Input,
    pub(crate) question: Option<Question>,
    pub(crate) notice: Option<Notice>,
    pub(crate) help: bool,
    pub(crate) quit: bool,
    /// Whether the list of rooms has come.
    pub(crate) loaded: bool,
    /// How many lines of the log the screen shows; told by the view.
    pub(crate) log_height: usize,
}

impl App {
    pub(crate) fn new(me: String, url: String) -> Self {
        Self {
            me,
            url,
            rooms: Vec::new(),
            current: 0,
            input: Input::default(),
            question: None,
            notice: None,
            help: false,
            quit: false,
            loaded: false,
            log_height: 1,
        }
    }

    pub(crate) fn room(&self) -> Option<&RoomView> {
        self.rooms.get(self.current)
    }

    fn find(&mut self, code: &str) -> Option<&mut RoomView> {
        self.rooms.iter_mut().find(|room| room.info.short_code == code)
    }

    /// Takes what the worker tells.
    pub(crate) fn news(&mut self, news: News) -> Vec<Effect> {
        match news {
            News::Rooms(rooms) => {
                self.loaded = true;
                self.rooms = rooms.into_iter().map(RoomView::new).collect();
                return (0..self.rooms.len().min(LIVE_ROOMS)).filter_map(|place| self.enter(place)).collect();
            }
            News::Entered(info) => self.entered(info),
            News::NotEntered { code, why, locked } => {
                if let Some(room) = self.find(&code) {
                    room.link = Link::Closed { why: Some(why.clone()) };
                }
                if !locked {
                    return self.refuse(why);
                }
                self.input.set("");
                self.question = Some(Question::Password { code });
            }
            News::Happened { code, event } => {
                let (me, current) = (self.me.clone(), self.current);
                if let Some(place) = self.rooms.iter().position(|room| room.info.short_code == code) {
                    self.rooms[place].apply(event, place == current, &me);
                }
            }
            News::NotSent { code, id, why } => {
                if let Some(room) = self.find(&code)
                    && let Some(pending) = room.pending.iter_mut().find(|pending| pending.id == id)
                {
                    pending.failed = Some(why);
                }
            }
            News::Older { code, page } => {
                if let Some(room) = self.find(&code) {
                    room.prepend(page);
                }
            }
            News::Invitation { code, token, end } => {
                if let Some(room) = self.find(&code) {
                    room.note(format!("until {end}, for /join; `chatter invite {code}` prints one to copy:"));
                    room.note(token);
                }
            }
            News::Gone { code } => self.gone(&code),
            News::Told(text) => self.notice = Some(Notice::Told(text)),
            News::Failed(text) => self.notice = Some(Notice::Failed(text)),
        }
        Vec::new()
    }

    fn entered(&mut self, info: RoomInfo) {
        let place = self.rooms.iter().position(|room| room.info.short_code == info.short_code);
        let place = place.unwrap_or_else(|| {
            self.rooms.push(RoomView::new(info.clone()));
            self.select(self.rooms.len() - 1);
            self.rooms.len() - 1
        });
        let room = &mut self.rooms[place];
        room.info = info;
        room.link = Link::Connecting;
        room.entries.clear();
        room.older = true;
    }

    fn gone(&mut self, code: &str) {
        if let Some(place) = self.rooms.iter().position(|room| room.info.short_code == code) {
            self.rooms.remove(place);
            if self.current > place || self.current == self.rooms.len() {
                self.select(self.current.saturating_sub(1));
            }
        }
    }

    fn enter(&mut self, place: usize) -> Option<Effect> {
        let room = self.rooms.get_mut(place)?;
        if !matches!(room.link, Link::Closed { .. }) {
            return None;
        }
        room.link = Link::Connecting;
        Some(Effect::Enter { code: room.info.short_code.clone(), password: String::new() })
    }

    fn select(&mut self, place: usize) {
        self.current = place;
        if let Some(room) = self.rooms.get_mut(place) {
            room.unread = 0;
        }
    }

    fn go(&mut self, place: usize) -> Vec<Effect> {
        self.select(place);
        self.enter(place).into_iter().collect()
    }

    /// The view has shown the top of what is known: asks for what is above.
    pub(crate) fn top_seen(&mut self) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return Vec::new() };
        if !room.older || room.link == Link::Connecting {
            return Vec::new();
        }
        let before = room.oldest().unwrap_or(0);
        if before == 1 {
            room.older = false;
            return Vec::new();
        }
        room.older = false;
        vec![Effect::Older { code: room.info.short_code.clone(), before }]
    }

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
        room.pending.push(Pending { id: id.clone(), body: body.clone(), failed: None });
        vec![Effect::Send { code: room.info.short_code.clone(), id, body }]
    }

    fn refuse(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.notice = Some(Notice::Failed(why.into()));
        Vec::new()
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
            Command::Join { key } => Effect::Enter { code: key, password: String::new() },
            inside => {
                let Some(room) = self.rooms.get_mut(self.current) else { return self.refuse(NO_ROOM) };
                let code = room.info.short_code.clone();
                match inside {
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
                    _ => Effect::Leave { code },
                }
            }
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
