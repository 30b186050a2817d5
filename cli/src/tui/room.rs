//! A room as the screen shows it: the known part of its log, its people, and unacknowledged messages.

use grpcchatter_client::{CloseReason, Event, Message, Page, RoomInfo};

use super::{effect::Remedy, presence::Presence};

/// The state of a room's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamState {
    /// Not joined by this program, or no longer.
    Closed {
        why: Option<String>,
        remedy: Remedy,
    },
    Connecting,
    Live,
    /// Lost; the client reconnects by itself.
    Reconnecting,
}

/// An entry of the shown log.
#[derive(Debug, Clone)]
pub(crate) enum LogEntry {
    Message(Message),
    /// A line by this program.
    Note(String),
}

/// A message that is not in the shown log yet.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) body: String,
    /// Why sending failed; /retry sends it again.
    pub(crate) failed: Option<String>,
    /// Its seq: it is shown as pending until the stream has delivered it.
    pub(crate) stored: Option<i64>,
}

/// Whether the log has messages older than the known ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Older {
    NotRequested,
    Requested,
    /// Scrolling requests it again.
    Failed,
    Exhausted,
}

/// Whether the user is looking at a room when an event arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    Seen,
    Unseen,
}

#[derive(Debug)]
pub(crate) struct RoomView {
    pub(crate) info: RoomInfo,
    pub(crate) stream: StreamState,
    /// Which join this view belongs to: updates of an earlier one are stale.
    pub(crate) generation: u64,
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) presence: Presence,
    pub(crate) unread: usize,
    /// The seq of the last message that the user has seen.
    pub(crate) read: Option<i64>,
    /// The "new" line is below this seq: the last message read when the user last looked away.
    pub(crate) new_after: Option<i64>,
    /// How many lines the view is scrolled up.
    pub(crate) scroll: usize,
    pub(crate) older: Older,
    /// Entries added since the room was drawn.
    pub(crate) undrawn: usize,
    /// Lines of pending messages that were drawn then.
    pub(crate) pending_lines: usize,
    /// The seq of the newest message delivered.
    newest: i64,
}

impl RoomView {
    pub(crate) fn new(info: RoomInfo) -> Self {
        Self {
            info,
            stream: StreamState::Closed { why: None, remedy: Remedy::Show },
            generation: 0,
            entries: Vec::new(),
            pending: Vec::new(),
            presence: Presence::default(),
            unread: 0,
            read: None,
            new_after: None,
            scroll: 0,
            older: Older::NotRequested,
            undrawn: 0,
            pending_lines: 0,
            newest: 0,
        }
    }

    /// The room was joined: its stream starts afresh.
    pub(crate) fn joined(&mut self, info: RoomInfo, generation: u64) {
        self.info = info;
        self.generation = generation;
        self.stream = StreamState::Connecting;
        self.presence = Presence::default();
        self.unread = 0;
        self.clear_log();
    }

    /// Restores the read position of the last run.
    pub(crate) fn restore_read_position(&mut self, read: i64) {
        self.read = Some(read);
        self.new_after = Some(read);
        self.unread = usize::try_from(self.info.last_seq.saturating_sub(read)).unwrap_or_default();
    }

    /// The user looks at the room.
    pub(crate) fn mark_read(&mut self) {
        self.unread = 0;
        self.read_to(self.newest);
    }

    /// The user looks away: messages from now on are new.
    pub(crate) fn look_away(&mut self) {
        self.new_after = self.read;
    }

    fn read_to(&mut self, seq: i64) {
        if seq > 0 {
            self.read = self.read.max(Some(seq));
        }
    }

    /// Drops the known part of the log.
    fn clear_log(&mut self) {
        self.entries.clear();
        self.newest = 0;
        self.undrawn = 0;
        self.scroll = 0;
        self.older = Older::NotRequested;
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.add(LogEntry::Note(text.into()));
    }

    fn note_people(&mut self, names: impl IntoIterator<Item = String>, did: &str) {
        for name in names {
            self.note(format!("{name} {did}"));
        }
    }

    fn add(&mut self, entry: LogEntry) {
        self.entries.push(entry);
        self.undrawn += 1;
    }

    /// The seq of the oldest known message.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.entries.iter().find_map(|entry| match entry {
            LogEntry::Message(message) => Some(message.seq),
            LogEntry::Note(_) => None,
        })
    }

    /// The authors of the known messages.
    pub(crate) fn authors(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            LogEntry::Message(message) => Some(message.user_name.as_str()),
            LogEntry::Note(_) => None,
        })
    }

    pub(crate) fn apply(&mut self, event: Event, visibility: Visibility) {
        match event {
            Event::Message(message) => self.message(message, visibility),
            Event::CaughtUp { .. } => self.stream = StreamState::Live,
            Event::Present { users, count } => {
                let names = users.into_iter().map(|user| user.name).collect();
                let came = self.presence.set_list(names, count);
                self.note_people(came, "came");
            }
            Event::Came(user) => {
                let is_new = self.presence.came(&user.name);
                self.note_people(is_new.then_some(user.name), "came");
            }
            Event::Left(name) => {
                let is_new = self.presence.left(&name);
                self.note_people(is_new.then_some(name), "left");
            }
            Event::PresentCount(count) => self.presence.set_count(count),
            Event::RoomUpdated(info) => {
                self.note(format!("this room was renamed to {}", info.name));
                self.info = info;
            }
            Event::Reconnecting { .. } => {
                self.stream = StreamState::Reconnecting;
                self.presence.connection_lost();
            }
            Event::Resumed => self.stream = StreamState::Live,
            Event::Reset { last_seq } => {
                self.clear_log();
                self.newest = last_seq;
                (self.read, self.new_after) = (None, None);
                self.drop_delivered();
                self.note("the log of this room was reset; scroll up to read it again");
            }
            Event::Closed(why) => {
                self.presence = Presence::default();
                self.pending.retain(|pending| pending.stored.is_none());
                self.note(why.to_string());
                self.stream = StreamState::Closed { why: Some(why.to_string()), remedy: remedy(&why) };
            }
            _ => {}
        }
    }

    fn message(&mut self, message: Message, visibility: Visibility) {
        self.acknowledge(message.client_message_id.as_deref());
        if message.seq <= self.newest {
            return;
        }
        self.newest = message.seq;
        self.drop_delivered();
        // Messages from before the join count as unread only if the room was read before.
        let is_new = self.stream == StreamState::Live || self.read.is_some_and(|read| message.seq > read);
        match visibility {
            Visibility::Seen => self.read_to(message.seq),
            Visibility::Unseen if is_new && !message.is_own => self.unread += 1,
            Visibility::Unseen => {}
        }
        self.add(LogEntry::Message(message));
    }

    /// The other users have had time to reconnect.
    pub(crate) fn presence_settled(&mut self) {
        let left = self.presence.settle();
        self.note_people(left, "left");
    }

    /// Prepends a page of older messages.
    pub(crate) fn prepend(&mut self, page: Page) {
        self.older = if page.more { Older::NotRequested } else { Older::Exhausted };
        for message in &page.messages {
            self.acknowledge(message.client_message_id.as_deref());
        }
        let known = self.oldest().unwrap_or(i64::MAX);
        let older = page.messages.into_iter().filter(|message| message.seq < known).map(LogEntry::Message);
        self.entries.splice(0..0, older);
    }

    /// A message of this program is in the log at `seq`.
    pub(crate) fn stored(&mut self, id: &str, seq: i64) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == id) {
            pending.failed = None;
            pending.stored = Some(seq);
        }
        self.drop_delivered();
    }

    /// Drops pending messages that the stream has passed.
    fn drop_delivered(&mut self) {
        let newest = self.newest;
        self.pending.retain(|pending| pending.stored.is_none_or(|seq| seq > newest));
    }

    /// A message of this program was delivered as part of the log.
    fn acknowledge(&mut self, id: Option<&str>) {
        self.pending.retain(|pending| Some(pending.id.as_str()) != id);
    }
}

/// How to get back after the room has closed.
fn remedy(why: &CloseReason) -> Remedy {
    match why {
        CloseReason::PasswordChanged => Remedy::Password { wrong: false },
        CloseReason::Failed(error) if error.is_retryable() => Remedy::Show,
        _ => Remedy::Rejoin,
    }
}
