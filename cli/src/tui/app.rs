//! The state of the screen, and how updates change it. Does no IO: work to be done is returned as [`Effect`]s.

use std::collections::HashMap;

use grpcchatter_client::{Event, RoomInfo};

use super::{
    clipboard::Multiplexer,
    completion::Completion,
    effect::{Effect, Remedy, Update},
    input::Input,
    question::Question,
    room::{Older, RoomView, StreamState, Visibility},
};

/// Rooms joined at start, out of the 16 streams that a server allows per user. Others are joined when shown.
const LIVE_ROOMS: usize = 8;

/// A sentence above the input line, until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    Info(String),
    Error(String),
}

/// Why the rooms were closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Quit,
    /// To the login form, for the same or another user.
    LogIn,
    /// The server has ended the session before anything was shown.
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
    /// Whether the last answer looked like a command: it is accepted when submitted again.
    pub(crate) command_warned: bool,
    /// The candidates that Tab cycles through.
    pub(crate) completion: Option<Completion>,
    pub(crate) notice: Option<Notice>,
    pub(crate) help: bool,
    pub(crate) end: Option<End>,
    /// Whether the terminal has the focus, as far as it reports that.
    pub(crate) focused: bool,
    pub(crate) multiplexer: Multiplexer,
    /// Whether the list of rooms has arrived.
    pub(crate) loaded: bool,
    /// The number of log lines on the screen, set by the view.
    pub(crate) log_height: usize,
    /// Read positions from the last run, by short code.
    pub(crate) read_positions: HashMap<String, i64>,
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
            command_warned: false,
            completion: None,
            notice: None,
            help: false,
            end: None,
            focused: true,
            multiplexer: Multiplexer::None,
            loaded: false,
            log_height: 1,
            read_positions: HashMap::new(),
        }
    }

    pub(crate) fn room(&self) -> Option<&RoomView> {
        self.rooms.get(self.current)
    }

    pub(super) fn index_of(&self, code: &str) -> Option<usize> {
        self.rooms.iter().position(|room| room.info.short_code == code)
    }

    fn find(&mut self, code: &str) -> Option<&mut RoomView> {
        self.rooms.iter_mut().find(|room| room.info.short_code == code)
    }

    /// The room, unless it was joined again since.
    fn find_joined(&mut self, code: &str, generation: u64) -> Option<&mut RoomView> {
        self.find(code).filter(|room| room.generation == generation)
    }

    /// Applies an update from the worker.
    pub(crate) fn update(&mut self, update: Update) -> Vec<Effect> {
        match update {
            Update::Rooms(rooms) => return self.rooms_loaded(rooms),
            Update::Joined { info, generation } => self.joined(info, generation),
            Update::JoinFailed { code, why, remedy } => return self.join_failed(code, why, remedy),
            Update::RoomEvent { code, generation, event } => self.room_event(&code, generation, event),
            Update::Sent { code, id, seq } => {
                if let Some(room) = self.find(&code) {
                    room.stored(&id, seq);
                }
            }
            Update::SendFailed { code, id, why } => {
                if let Some(room) = self.find(&code)
                    && let Some(pending) = room.pending.iter_mut().find(|pending| pending.id == id)
                {
                    pending.failed = Some(why);
                }
            }
            Update::Older { code, generation, page } => {
                if let Some(room) = self.find_joined(&code, generation) {
                    room.prepend(page);
                }
            }
            Update::OlderFailed { code, why } => {
                if let Some(room) = self.find(&code) {
                    room.older = Older::Failed;
                }
                return self.show_error(why);
            }
            Update::Invitation { code, link, end } => return self.invitation(&code, link, &end),
            Update::PresenceSettled { code, generation } => {
                if let Some(room) = self.find_joined(&code, generation) {
                    room.presence_settled();
                }
            }
            // The typed and unsent text is still here, so the user decides when to leave.
            Update::LoggedOut if self.loaded => {
                self.notice = Some(Notice::Error("the session has ended: /login".to_owned()));
            }
            Update::LoggedOut => self.end = Some(End::SessionOver),
            Update::RoomGone { code } => self.remove_room(&code),
            Update::Info(text) => self.notice = Some(Notice::Info(text)),
            Update::Error(text) => self.notice = Some(Notice::Error(text)),
        }
        Vec::new()
    }

    fn room_event(&mut self, code: &str, generation: u64, event: Event) {
        let current = self.focused.then_some(self.current);
        if let Some(index) = self.index_of(code)
            && self.rooms[index].generation == generation
        {
            let seen = if Some(index) == current { Visibility::Seen } else { Visibility::Unseen };
            self.rooms[index].apply(event, seen);
        }
    }

    fn invitation(&mut self, code: &str, link: String, end: &str) -> Vec<Effect> {
        let advice = self.multiplexer.advice();
        let Some(room) = self.find(code) else { return Vec::new() };
        room.note(format!(
            "an invitation until {end}, {advice}; otherwise run: chatter invite {code} --link"
        ));
        room.note(link.clone());
        vec![Effect::Copy { text: link }]
    }

    /// Adds the rooms that are not known yet: some may have been joined before the list arrived.
    fn rooms_loaded(&mut self, rooms: Vec<RoomInfo>) -> Vec<Effect> {
        self.loaded = true;
        for info in rooms {
            if self.index_of(&info.short_code).is_none() {
                self.add_room(info);
            }
        }
        self.mark_current_read();
        (0..self.rooms.len().min(LIVE_ROOMS)).filter_map(|index| self.join_room(index)).collect()
    }

    fn joined(&mut self, info: RoomInfo, generation: u64) {
        let index = self.index_of(&info.short_code).unwrap_or_else(|| {
            self.add_room(info.clone());
            self.select(self.rooms.len() - 1);
            self.rooms.len() - 1
        });
        self.rooms[index].joined(info, generation);
    }

    fn add_room(&mut self, info: RoomInfo) {
        let read = self.read_positions.get(&info.short_code).copied();
        let mut room = RoomView::new(info);
        if let Some(read) = read {
            room.restore_read_position(read);
        }
        self.rooms.push(room);
    }

    /// The read position of each room.
    pub(crate) fn read_positions(&self) -> impl Iterator<Item = (String, i64)> {
        self.rooms.iter().filter_map(|room| Some((room.info.short_code.clone(), room.read?)))
    }

    /// Asks for the password if the user is waiting for this room, and never in the middle of a line: the line
    /// would be sent as the password.
    fn join_failed(&mut self, code: String, why: String, remedy: Remedy) -> Vec<Effect> {
        let index = self.index_of(&code);
        if let Some(index) = index {
            self.rooms[index].stream = StreamState::Closed { why: Some(why.clone()), remedy };
        }
        let wanted = index.is_none_or(|index| index == self.current);
        match remedy {
            Remedy::Password { .. } if !wanted => Vec::new(),
            Remedy::Password { wrong } if self.may_ask() => self.ask(Question::Password { code, wrong }),
            Remedy::Password { wrong: true } => {
                self.show_error(format!("that was not the password of {code}: /join {code}"))
            }
            Remedy::Password { .. } => self.show_error(format!("{code} asks for its password: /join {code}")),
            Remedy::Show | Remedy::Rejoin => self.show_error(why),
        }
    }

    fn may_ask(&self) -> bool {
        self.question.is_none() && self.input.is_empty()
    }

    pub(super) fn ask(&mut self, question: Question) -> Vec<Effect> {
        self.question = Some(question);
        self.command_warned = false;
        Vec::new()
    }

    pub(super) fn remove_room(&mut self, code: &str) {
        if let Some(index) = self.index_of(code) {
            self.rooms.remove(index);
            if self.current > index || self.current == self.rooms.len() {
                self.select(self.current.saturating_sub(1));
            }
        }
    }

    /// Joins a room that needs nothing but being shown.
    fn join_room(&mut self, index: usize) -> Option<Effect> {
        let room = self.rooms.get_mut(index)?;
        if !matches!(room.stream, StreamState::Closed { remedy: Remedy::Show, .. }) {
            return None;
        }
        room.stream = StreamState::Connecting;
        Some(Effect::Join { code: room.info.short_code.clone(), password: String::new() })
    }

    fn select(&mut self, index: usize) {
        if index != self.current
            && let Some(room) = self.rooms.get_mut(self.current)
        {
            room.look_away();
        }
        self.current = index;
        self.mark_current_read();
    }

    /// A focused terminal means that the user reads the current room.
    fn mark_current_read(&mut self) {
        if self.focused
            && let Some(room) = self.rooms.get_mut(self.current)
        {
            room.mark_read();
        }
    }

    pub(crate) fn focus_gained(&mut self) {
        self.focused = true;
        self.mark_current_read();
    }

    pub(crate) fn focus_lost(&mut self) {
        if self.focused
            && let Some(room) = self.rooms.get_mut(self.current)
        {
            room.look_away();
        }
        self.focused = false;
    }

    /// Shows a room.
    pub(super) fn show_room(&mut self, index: usize) -> Vec<Effect> {
        self.select(index);
        if let Some(room) = self.rooms.get(index)
            && let StreamState::Closed { remedy: Remedy::Password { wrong }, .. } = room.stream
            && self.may_ask()
        {
            let code = room.info.short_code.clone();
            self.ask(Question::Password { code, wrong });
        }
        self.join_room(index).into_iter().collect()
    }

    /// The view has shown the oldest known message: requests older ones.
    pub(crate) fn top_seen(&mut self) -> Vec<Effect> {
        let Some(room) = self.rooms.get_mut(self.current) else { return Vec::new() };
        if room.older != Older::NotRequested
            || matches!(room.stream, StreamState::Connecting | StreamState::Closed { .. })
        {
            return Vec::new();
        }
        let before = room.oldest().unwrap_or(0);
        if before == 1 {
            room.older = Older::Exhausted;
            return Vec::new();
        }
        room.older = Older::Requested;
        vec![Effect::LoadOlder { code: room.info.short_code.clone(), before }]
    }

    pub(super) fn show_error(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.notice = Some(Notice::Error(why.into()));
        Vec::new()
    }
}
