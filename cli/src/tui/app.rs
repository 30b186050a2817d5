//! What the screen knows, and how news change it. No IO: what is to be done comes out as [`Effect`]s.

use std::collections::HashMap;

use grpcchatter_client::RoomInfo;

use super::{
    clipboard::Multiplexer,
    completion::Completion,
    input::Input,
    news::{Cure, Effect, News},
    question::Question,
    room::{Link, Older, RoomView},
};

/// So many rooms are entered at the start, of the 16 streams that a server allows; the others when looked at.
const LIVE_ROOMS: usize = 8;

/// A sentence above the input line, until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    Told(String),
    Failed(String),
}

/// Why the rooms are not shown any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Quit,
    /// To log in, again or as somebody else.
    LogIn,
    /// The server knows the session no more, and nothing was shown yet.
    SessionOver,
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) me: String,
    pub(crate) url: String,
    pub(crate) rooms: Vec<RoomView>,
    pub(crate) current: usize,
    pub(crate) input: Input,
    pub(crate) question: Option<Question>,
    /// Whether the answer that was given looks like a command, and is taken when it is given again.
    pub(crate) doubted: bool,
    /// The words that Tab goes through.
    pub(crate) completion: Option<Completion>,
    pub(crate) notice: Option<Notice>,
    pub(crate) help: bool,
    pub(crate) end: Option<End>,
    /// Whether somebody sits before the screen, as far as the terminal tells.
    pub(crate) watched: bool,
    pub(crate) multiplexer: Multiplexer,
    /// Whether the list of rooms has come.
    pub(crate) loaded: bool,
    /// How many lines of the log the screen shows; told by the view.
    pub(crate) log_height: usize,
    /// How far rooms were read when this program ran last, by short code.
    pub(crate) remembered: HashMap<String, i64>,
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
            doubted: false,
            completion: None,
            notice: None,
            help: false,
            end: None,
            watched: true,
            multiplexer: Multiplexer::None,
            loaded: false,
            log_height: 1,
            remembered: HashMap::new(),
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
                let current = self.watched.then_some(self.current);
                if let Some(place) = self.place(&code)
                    && self.rooms[place].entry == entry
                {
                    self.rooms[place].apply(event, Some(place) == current);
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
            News::Invitation { code, link, end } => {
                let advice = self.multiplexer.advice();
                if let Some(room) = self.find(&code) {
                    room.note(format!(
                        "an invitation until {end}; {advice}; else: chatter invite {code} --link"
                    ));
                    room.note(link.clone());
                    return vec![Effect::Copy { text: link }];
                }
            }
            News::Settled { code, entry } => {
                if let Some(room) = self.find(&code).filter(|room| room.entry == entry) {
                    room.settled();
                }
            }
            // What was typed or not sent is still here, so that they go when they want to.
            News::LoggedOut if self.loaded => {
                self.notice = Some(Notice::Failed("the session has ended: /login".to_owned()));
            }
            News::LoggedOut => self.end = Some(End::SessionOver),
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
                self.add(info);
            }
        }
        self.look();
        (0..self.rooms.len().min(LIVE_ROOMS)).filter_map(|place| self.enter(place)).collect()
    }

    fn entered(&mut self, info: RoomInfo, entry: u64) {
        let place = self.place(&info.short_code).unwrap_or_else(|| {
            self.add(info.clone());
            self.select(self.rooms.len() - 1);
            self.rooms.len() - 1
        });
        self.rooms[place].entered(info, entry);
    }

    fn add(&mut self, info: RoomInfo) {
        let read = self.remembered.get(&info.short_code).copied();
        let mut room = RoomView::new(info);
        if let Some(read) = read {
            room.remember(read);
        }
        self.rooms.push(room);
    }

    /// How far each room was read.
    pub(crate) fn read(&self) -> impl Iterator<Item = (String, i64)> {
        self.rooms.iter().filter_map(|room| Some((room.info.short_code.clone(), room.read?)))
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
            Cure::Password { .. } if !wanted => Vec::new(),
            Cure::Password { wrong } if self.may_ask() => self.ask(Question::Password { code, wrong }),
            Cure::Password { wrong: true } => {
                self.refuse(format!("that was not the password of {code}: /join {code}"))
            }
            Cure::Password { .. } => self.refuse(format!("{code} asks for its password: /join {code}")),
            Cure::Look | Cure::Join => self.refuse(why),
        }
    }

    fn may_ask(&self) -> bool {
        self.question.is_none() && self.input.is_empty()
    }

    pub(super) fn ask(&mut self, question: Question) -> Vec<Effect> {
        self.question = Some(question);
        self.doubted = false;
        Vec::new()
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
        if place != self.current
            && let Some(room) = self.rooms.get_mut(self.current)
        {
            room.look_away();
        }
        self.current = place;
        self.look();
    }

    /// Whoever watches has the current room before their eyes.
    fn look(&mut self) {
        if self.watched
            && let Some(room) = self.rooms.get_mut(self.current)
        {
            room.look();
        }
    }

    /// Somebody came before the screen, or went.
    pub(crate) fn watch(&mut self, watched: bool) {
        if !watched
            && self.watched
            && let Some(room) = self.rooms.get_mut(self.current)
        {
            room.look_away();
        }
        self.watched = watched;
        self.look();
    }

    /// Looks at a room.
    pub(super) fn go(&mut self, place: usize) -> Vec<Effect> {
        self.select(place);
        if let Some(room) = self.rooms.get(place)
            && let Link::Closed { cure: Cure::Password { wrong }, .. } = room.link
            && self.may_ask()
        {
            let code = room.info.short_code.clone();
            self.ask(Question::Password { code, wrong });
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
