//! A room as the screen shows it: its log as far as it is known, its people, what is on its way.

use grpcchatter_client::{CloseReason, Event, Message, Page, RoomInfo};

use super::{news::Cure, people::People};

/// How far a room is from being live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not entered by this program, or not any more.
    Closed {
        why: Option<String>,
        cure: Cure,
    },
    Connecting,
    Live,
    /// Lost; the next attempt follows by itself.
    Reconnecting,
}

/// A line of the log.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Message(Message),
    /// What the program has to say.
    Note(String),
}

/// A message that was not acknowledged yet.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) body: String,
    /// Why it was given up; it is sent again by /retry.
    pub(crate) failed: Option<String>,
    /// Its place in the log: it is shown here until the stream has told it there.
    pub(crate) stored: Option<i64>,
}

/// Whether there is something above what is known of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Older {
    Unasked,
    Asked,
    /// It is asked for again by scrolling.
    Failed,
    None,
}

#[derive(Debug)]
pub(crate) struct RoomView {
    pub(crate) info: RoomInfo,
    pub(crate) link: Link,
    /// Which of the entries into rooms this one is: what another one tells is of the past.
    pub(crate) entry: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) people: People,
    pub(crate) unread: usize,
    /// The place of the last message that somebody has looked at, as far as it is known.
    pub(crate) read: Option<i64>,
    /// Where a line shows what is new: behind the last message that was read when somebody looked last.
    pub(crate) new_after: Option<i64>,
    /// How many lines the view stands above the newest.
    pub(crate) scroll: usize,
    pub(crate) older: Older,
    /// How many entries were added since the room was drawn.
    pub(crate) fresh: usize,
    /// How many lines of what is pending were drawn then.
    pub(crate) pending_lines: usize,
    /// The place of the newest message that was told.
    newest: i64,
}

impl RoomView {
    pub(crate) fn new(info: RoomInfo) -> Self {
        Self {
            info,
            link: Link::Closed { why: None, cure: Cure::Look },
            entry: 0,
            entries: Vec::new(),
            pending: Vec::new(),
            people: People::default(),
            unread: 0,
            read: None,
            new_after: None,
            scroll: 0,
            older: Older::Unasked,
            fresh: 0,
            pending_lines: 0,
            newest: 0,
        }
    }

    /// The room was entered, and is told anew.
    pub(crate) fn entered(&mut self, info: RoomInfo, entry: u64) {
        self.info = info;
        self.entry = entry;
        self.link = Link::Connecting;
        self.people = People::default();
        self.unread = 0;
        self.forget();
    }

    /// It was read up to there when this program ran last.
    pub(crate) fn remember(&mut self, read: i64) {
        self.read = Some(read);
        self.new_after = Some(read);
        self.unread = usize::try_from(self.info.last_seq.saturating_sub(read)).unwrap_or_default();
    }

    /// Somebody looks at it.
    pub(crate) fn look(&mut self) {
        self.unread = 0;
        self.read_to(self.newest);
    }

    /// Nobody looks at it any more: what comes from now on is new.
    pub(crate) fn look_away(&mut self) {
        self.new_after = self.read;
    }

    fn read_to(&mut self, seq: i64) {
        if seq > 0 {
            self.read = self.read.max(Some(seq));
        }
    }

    /// Drops what is known of the log.
    fn forget(&mut self) {
        self.entries.clear();
        self.newest = 0;
        self.fresh = 0;
        self.scroll = 0;
        self.older = Older::Unasked;
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.add(Entry::Note(text.into()));
    }

    fn note_people(&mut self, names: impl IntoIterator<Item = String>, did: &str) {
        for name in names {
            self.note(format!("{name} {did}"));
        }
    }

    fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.fresh += 1;
    }

    /// The place of the oldest message that is known.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Message(message) => Some(message.seq),
            Entry::Note(_) => None,
        })
    }

    /// Who has said what is known of the log.
    pub(crate) fn speakers(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Message(message) => Some(message.user_name.as_str()),
            Entry::Note(_) => None,
        })
    }

    /// Takes what happened; `seen` tells whether somebody is looking.
    pub(crate) fn apply(&mut self, event: Event, seen: bool) {
        match event {
            Event::Message(message) => {
                self.acknowledge(message.client_message_id.as_deref());
                if message.seq <= self.newest {
                    return;
                }
                self.newest = message.seq;
                self.settle();
                // What was said before this program came is news to whoever read the room before.
                let news = self.link == Link::Live || self.read.is_some_and(|read| message.seq > read);
                if seen {
                    self.read_to(message.seq);
                } else if news && !message.is_own {
                    self.unread += 1;
                }
                self.add(Entry::Message(message));
            }
            Event::CaughtUp { .. } => self.link = Link::Live,
            Event::Present { users, count } => {
                let names = users.into_iter().map(|user| user.name).collect();
                let came = self.people.present(names, count);
                self.note_people(came, "came");
            }
            Event::Came(user) => {
                let news = self.people.came(&user.name);
                self.note_people(news.then_some(user.name), "came");
            }
            Event::Left(name) => {
                let news = self.people.left(&name);
                self.note_people(news.then_some(name), "left");
            }
            Event::PresentCount(count) => self.people.set_count(count),
            Event::RoomUpdated(info) => {
                self.note(format!("this room is called {} now", info.name));
                self.info = info;
            }
            Event::Reconnecting { .. } => {
                self.link = Link::Reconnecting;
                self.people.lost();
            }
            Event::Resumed => self.link = Link::Live,
            Event::Reset { last_seq } => {
                self.forget();
                self.newest = last_seq;
                (self.read, self.new_after) = (None, None);
                self.settle();
                self.note("the log of this room was reset; scroll up to read it again");
            }
            Event::Closed(why) => {
                self.people = People::default();
                self.pending.retain(|pending| pending.stored.is_none());
                self.note(why.to_string());
                self.link = Link::Closed { why: Some(why.to_string()), cure: cure(&why) };
            }
            _ => {}
        }
    }

    /// The others have had the time to come back after this program did.
    pub(crate) fn settled(&mut self) {
        let left = self.people.settled();
        self.note_people(left, "left");
    }

    /// Puts older messages above what is known.
    pub(crate) fn prepend(&mut self, page: Page) {
        self.older = if page.more { Older::Unasked } else { Older::None };
        for message in &page.messages {
            self.acknowledge(message.client_message_id.as_deref());
        }
        let known = self.oldest().unwrap_or(i64::MAX);
        let older = page.messages.into_iter().filter(|message| message.seq < known).map(Entry::Message);
        self.entries.splice(0..0, older);
    }

    /// A message of this program stands in the log at `seq`.
    pub(crate) fn stored(&mut self, id: &str, seq: i64) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == id) {
            pending.failed = None;
            pending.stored = Some(seq);
        }
        self.settle();
    }

    /// Drops what is stored at a place that the stream has passed.
    fn settle(&mut self) {
        let newest = self.newest;
        self.pending.retain(|pending| pending.stored.is_none_or(|seq| seq > newest));
    }

    /// A message of this program was told as part of the log.
    fn acknowledge(&mut self, id: Option<&str>) {
        self.pending.retain(|pending| Some(pending.id.as_str()) != id);
    }
}

/// What helps after the room has closed.
fn cure(why: &CloseReason) -> Cure {
    match why {
        CloseReason::PasswordChanged => Cure::Password { wrong: false },
        CloseReason::Failed(error) if error.is_retryable() => Cure::Look,
        _ => Cure::Join,
    }
}
