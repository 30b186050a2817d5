//! A room as the screen shows it: its log as far as it is known, its people, what is on its way.

use grpcchatter_client::{Event, Message, Page, RoomInfo};

/// How far a room is from being live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not entered by this program.
    Closed {
        why: Option<String>,
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
}

#[derive(Debug)]
pub(crate) struct RoomView {
    pub(crate) info: RoomInfo,
    pub(crate) link: Link,
    pub(crate) entries: Vec<Entry>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) people: Vec<String>,
    pub(crate) people_count: usize,
    pub(crate) unread: usize,
    /// How many lines the view stands above the newest.
    pub(crate) scroll: usize,
    /// Whether older messages can be asked for, and were not yet.
    pub(crate) older: bool,
}

impl RoomView {
    pub(crate) fn new(info: RoomInfo) -> Self {
        Self {
            info,
            link: Link::Closed { why: None },
            entries: Vec::new(),
            pending: Vec::new(),
            people: Vec::new(),
            people_count: 0,
            unread: 0,
            scroll: 0,
            older: true,
        }
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.entries.push(Entry::Note(text.into()));
    }

    /// The place of the oldest message that is known.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Message(message) => Some(message.seq),
            Entry::Note(_) => None,
        })
    }

    /// Takes what happened; `seen` tells whether somebody is looking.
    pub(crate) fn apply(&mut self, event: Event, seen: bool, me: &str) {
        match event {
            Event::Message(message) => {
                self.acknowledge(message.client_message_id.as_deref());
                // What had been said before this program came is not news.
                if !seen && self.link == Link::Live && message.user_name != me {
                    self.unread += 1;
                }
                self.entries.push(Entry::Message(message));
            }
            Event::CaughtUp { .. } => self.link = Link::Live,
            Event::Present { users, count } => {
                self.people = users.into_iter().map(|user| user.name).collect();
                self.people.sort_unstable();
                self.people_count = count;
            }
            Event::Came(user) => {
                if let Err(place) = self.people.binary_search(&user.name) {
                    self.note(format!("{} came", user.name));
                    self.people.insert(place, user.name);
                }
            }
            Event::Left(name) => {
                self.people.retain(|other| *other != name);
                self.note(format!("{name} left"));
            }
            Event::PresentCount(count) => self.people_count = count,
            Event::RoomUpdated(info) => {
                self.note(format!("this room is called {} now", info.name));
                self.info = info;
            }
            Event::Reconnecting { .. } => self.link = Link::Reconnecting,
            Event::Resumed => self.link = Link::Live,
            Event::Reset { .. } => {
                self.entries.clear();
                self.scroll = 0;
                self.older = true;
                self.note("the log of this room was reset; scroll up to read it again");
            }
            Event::Closed(why) => {
                self.people.clear();
                self.people_count = 0;
                self.note(why.to_string());
                self.link = Link::Closed { why: Some(why.to_string()) };
            }
            _ => {}
        }
    }

    /// Puts older messages above what is known.
    pub(crate) fn prepend(&mut self, page: Page) {
        self.older = page.more;
        let known = self.oldest().unwrap_or(i64::MAX);
        let older = page.messages.into_iter().filter(|message| message.seq < known).map(Entry::Message);
        self.entries.splice(0..0, older);
    }

    /// A message of this program was stored.
    pub(crate) fn acknowledge(&mut self, id: Option<&str>) {
        self.pending.retain(|pending| Some(pending.id.as_str()) != id);
    }
}
