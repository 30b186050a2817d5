//! What the screen knows, and how news change it. No IO: what is to be done comes out as [`Effect`]s.

use grpcchatter_client::RoomInfo;

use super::{
    input::Input,
    news::{Cure, Effect, News},
    room::{Link, Older, RoomView},
};

/// So many rooms are entered at the start, of the 16 streams that a server allows; the others when looked at.
const LIVE_ROOMS: usize = 8;

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

    pub(super) fn place(&self, code: &str) -> Option<usize> {
        self.rooms.iter().position(|room| room.info.short_code == code)
    }

    fn find(&mut self, code: &str) -> Option<&mut RoomView> {
        self.rooms.iter_mut().find(|room| room.info.short_code == code)
    }

    /// Takes what the worker tells.
    pub(crate) fn news(&mut self, news: News) -> Vec<Effect> {
        match news {
            News::Rooms(rooms) => return self.listed(rooms),
            News::Entered { info, entry } => self.entered(info, entry),
            News::NotEntered { code, why, cure } => return self.not_entered(code, why, cure),
            News::Happened { code, entry, event } => {
                let (me, current) = (self.me.clone(), self.current);
                if let Some(place) = self.place(&code)
                    && self.rooms[place].entry == entry
                {
                    self.rooms[place].apply(event, place == current, &me);
                }
            }
            News::Sent { code, id, seq } => {
                if let Some(room) = self.find(&code) {
                    room.stored(&id, seq);
                }
            }
            News::NotSent { code, id, why } => {
                if let Some(room) = self.find(&code)
                    && let Some(pending) = room.pending.iter_mut().find(|pending| pending.id == id)
                {
                    pending.failed = Some(why);
                }
            }
            News::Older { code, entry, page } => {
                if let Some(room) = self.find(&code).filter(|room| room.entry == entry) {
                    room.prepend(page);
                }
            }
            News::NotOlder { code, why } => {
                if let Some(room) = self.find(&code) {
                    room.older = Older::Failed;
                }
                return self.refuse(why);
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

    /// Adds the rooms that are not known yet: some may have been entered while the list was on its way.
    fn listed(&mut self, rooms: Vec<RoomInfo>) -> Vec<Effect> {
        self.loaded = true;
        for info in rooms {
            if self.place(&info.short_code).is_none() {
                self.rooms.push(RoomView::new(info));
            }
        }
        (0..self.rooms.len().min(LIVE_ROOMS)).filter_map(|place| self.enter(place)).collect()
    }

    fn entered(&mut self, info: RoomInfo, entry: u64) {
        let place = self.place(&info.short_code).unwrap_or_else(|| {
            self.rooms.push(RoomView::new(info.clone()));
            self.select(self.rooms.len() - 1);
            self.rooms.len() - 1
        });
        self.rooms[place].entered(info, entry);
    }

    /// A password is asked for where somebody waits for the room, and never in the middle of a line, which would
    /// then be sent as a password.
    fn not_entered(&mut self, code: String, why: String, cure: Cure) -> Vec<Effect> {
        let place = self.place(&code);
        if let Some(place) = place {
            self.rooms[place].link = Link::Closed { why: Some(why.clone()), cure };
        }
        let wanted = place.is_none_or(|place| place == self.current);
        match cure {
            Cure::Password if !wanted => Vec::new(),
            Cure::Password if self.may_ask() => {
                self.question = Some(Question::Password { code });
                Vec::new()
            }
            Cure::Password => self.refuse(format!("{code} asks for its password: /join {code}")),
            Cure::Look | Cure::Join => self.refuse(why),
        }
    }

    fn may_ask(&self) -> bool {
        self.question.is_none() && self.input.is_empty()
    }

    pub(super) fn gone(&mut self, code: &str) {
        if let Some(place) = self.place(code) {
            self.rooms.remove(place);
            if self.current > place || self.current == self.rooms.len() {
                self.select(self.current.saturating_sub(1));
            }
        }
    }

    /// Enters a room that is not entered, where nothing but that is needed.
    fn enter(&mut self, place: usize) -> Option<Effect> {
        let room = self.rooms.get_mut(place)?;
        if !matches!(room.link, Link::Closed { cure: Cure::Look, .. }) {
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

    /// Looks at a room.
    pub(super) fn go(&mut self, place: usize) -> Vec<Effect> {
        self.select(place);
        if let Some(room) = self.rooms.get(place)
            && matches!(room.link, Link::Closed { cure: Cure::Password, .. })
            && self.may_ask()
        {
            self.question = Some(Question::Password { code: room.info.short_code.clone() });
        }
        self.enter(place).into_iter().collect()
    }

    /// The view has shown the top of what is known: asks for what is above.
    pub(crate) fn top_seen(&mut self) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return Vec::new() };
        if room.older != Older::Unasked || matches!(room.link, Link::Connecting | Link::Closed { .. }) {
            return Vec::new();
        }
        let before = room.oldest().unwrap_or(0);
        if before == 1 {
            room.older = Older::None;
            return Vec::new();
        }
        room.older = Older::Asked;
        vec![Effect::Older { code: room.info.short_code.clone(), before }]
    }

    pub(super) fn refuse(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.notice = Some(Notice::Failed(why.into()));
        Vec::new()
    }
}
