//! Somebody in two rooms, and what tests do to them.

use std::time::{Duration, SystemTime};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::{Event, Message, Page, RoomInfo, User};
use grpcchatter_proto::v1;
use jiff::tz::TimeZone;
use ratatui::{Terminal, backend::TestBackend};

use super::{
    app::App,
    news::{Cure, Effect, News},
    view,
};

/// 22 November 2026, 20:40 UTC.
const EVENING: u64 = 1_795_380_000;

/// Who sits before the screen.
pub(crate) const ME: &str = "walker1";

/// The first room.
pub(crate) const MOUNTAINS: &str = "aB3xYz";

pub(crate) fn mountains() -> String {
    MOUNTAINS.to_owned()
}

pub(crate) fn time(minutes: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(EVENING + 60 * minutes)
}

pub(crate) fn room(code: &str, name: &str) -> RoomInfo {
    let room = v1::ChatRoom {
        short_code: code.to_owned(),
        room_name: name.to_owned(),
        owner_name: "walker1".to_owned(),
        create_time: Some(time(0).into()),
        last_seq: 0,
    };
    RoomInfo::try_from(Some(room)).unwrap()
}

pub(crate) fn raw(seq: i64, name: &str, body: &str) -> v1::Message {
    v1::Message {
        user_name: name.to_owned(),
        body: body.to_owned(),
        seq,
        message_id: format!("id-{seq}"),
        create_time: Some(time(u64::try_from(seq).unwrap() * 7).into()),
        client_message_id: String::new(),
    }
}

pub(crate) fn said(seq: i64, name: &str, body: &str) -> Event {
    let mut message = Message::try_from(raw(seq, name, body)).unwrap();
    message.is_own = name == ME;
    Event::Message(message)
}

pub(crate) fn came(name: &str) -> Event {
    let user = v1::User { user_name: name.to_owned(), online_since: Some(time(0).into()) };
    Event::Came(User::try_from(user).unwrap())
}

pub(crate) fn people(names: &[&str]) -> Event {
    let user = |name: &&str| v1::User { user_name: (*name).to_owned(), online_since: Some(time(0).into()) };
    let users = names.iter().map(|name| User::try_from(user(name)).unwrap()).collect();
    Event::Present { users, count: names.len() }
}

pub(crate) fn happen(app: &mut App, code: &str, event: Event) {
    let entry = app.rooms.iter().find(|room| room.info.short_code == code).unwrap().entry;
    app.news(News::Happened { code: code.to_owned(), entry, event });
}

pub(crate) fn press(app: &mut App, code: KeyCode) -> Vec<Effect> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

pub(crate) fn type_in(app: &mut App, text: &str) -> Vec<Effect> {
    app.paste(text);
    press(app, KeyCode::Enter)
}

/// The screen as text.
pub(crate) fn screen(app: &mut App, columns: u16, rows: u16) -> String {
    look(app, columns, rows).0
}

/// The screen as text, and what is to be done for having been drawn.
pub(crate) fn look(app: &mut App, columns: u16, rows: u16) -> (String, Vec<Effect>) {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let mut top_seen = false;
    terminal.draw(|frame| top_seen = view::draw(frame, app, &TimeZone::UTC)).unwrap();
    (terminal.backend().to_string(), if top_seen { app.top_seen() } else { Vec::new() })
}

/// Somebody in two rooms, in the first of which people talk.
pub(crate) fn talking() -> App {
    let mut app = App::new(ME.to_owned(), "http://localhost:8080".to_owned());
    app.news(News::Rooms(vec![room("aB3xYz", "Mountains"), room("Qq7rS2", "Kitchen")]));
    for (info, entry) in [(room("aB3xYz", "Mountains"), 1), (room("Qq7rS2", "Kitchen"), 2)] {
        app.news(News::Entered { info, entry });
    }
    for code in ["aB3xYz", "Qq7rS2"] {
        happen(&mut app, code, Event::CaughtUp { last_seq: 0 });
    }
    happen(&mut app, "aB3xYz", people(&["maria22", "walker1"]));
    happen(&mut app, "aB3xYz", said(1, "maria22", "Is anybody up for the ridge on Saturday?"));
    let long = "I am. Sun until four, then thunderstorms, so let us be on the summit before noon.";
    happen(&mut app, "aB3xYz", said(2, "walker1", long));
    happen(&mut app, "aB3xYz", said(40, "maria22", "日本語 and\ntwo lines\u{1b}[2J"));
    happen(&mut app, "Qq7rS2", said(1, "maria22", "Soup is ready"));
    app
}

/// A page of somebody else's messages with these places.
pub(crate) fn page(seqs: impl IntoIterator<Item = i64>, more: bool) -> Page {
    let messages = seqs.into_iter().map(|seq| raw(seq, "maria22", &format!("number {seq}"))).collect();
    Page::try_from(v1::ListMessagesResponse { messages, more, first_seq: 1, last_seq: 99 }).unwrap()
}

pub(crate) fn not_entered(app: &mut App, code: &str, cure: Cure) -> Vec<Effect> {
    app.news(News::NotEntered { code: code.to_owned(), why: "it was refused".to_owned(), cure })
}
