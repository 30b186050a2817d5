//! A user in two rooms, and helpers to drive the screen.

use std::time::{Duration, SystemTime};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::{Event, Message, Page, RoomInfo, User};
use grpcchatter_proto::v1;
use jiff::tz::TimeZone;
use ratatui::{Terminal, backend::TestBackend};

use crate::tui::{
    app::App,
    effect::{Effect, Remedy, Update},
    view,
};

/// 22 November 2026, 20:40 UTC.
const EVENING: u64 = 1_795_380_000;

/// The user of the screen.
pub(crate) const ME: &str = "walker1";

/// The short code of the first room.
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

pub(crate) fn wire_message(seq: i64, name: &str, body: &str) -> v1::Message {
    v1::Message {
        user_name: name.to_owned(),
        body: body.to_owned(),
        seq,
        message_id: format!("id-{seq}"),
        create_time: Some(time(u64::try_from(seq).unwrap() * 7).into()),
        client_message_id: String::new(),
    }
}

pub(crate) fn message_event(seq: i64, name: &str, body: &str) -> Event {
    let mut message = Message::try_from(wire_message(seq, name, body)).unwrap();
    message.is_own = name == ME;
    Event::Message(message)
}

pub(crate) fn came_event(name: &str) -> Event {
    let user = v1::User { user_name: name.to_owned(), online_since: Some(time(0).into()) };
    Event::Came(User::try_from(user).unwrap())
}

pub(crate) fn present(names: &[&str]) -> Event {
    let user = |name: &&str| v1::User { user_name: (*name).to_owned(), online_since: Some(time(0).into()) };
    let users = names.iter().map(|name| User::try_from(user(name)).unwrap()).collect();
    Event::Present { users, count: names.len() }
}

pub(crate) fn deliver(app: &mut App, code: &str, event: Event) {
    let generation = app.rooms.iter().find(|room| room.info.short_code == code).unwrap().generation;
    app.update(Update::RoomEvent { code: code.to_owned(), generation, event });
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
    draw(app, columns, rows).0
}

/// The screen as text, and the effects of drawing it.
pub(crate) fn draw(app: &mut App, columns: u16, rows: u16) -> (String, Vec<Effect>) {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let mut top_seen = false;
    terminal.draw(|frame| top_seen = view::draw(frame, app, &TimeZone::UTC)).unwrap();
    (terminal.backend().to_string(), if top_seen { app.top_seen() } else { Vec::new() })
}

/// A user in two rooms, with a conversation in the first.
pub(crate) fn two_rooms() -> App {
    let mut app = App::new(ME.to_owned(), "http://localhost:8080".to_owned());
    app.update(Update::Rooms(vec![room("aB3xYz", "Mountains"), room("Qq7rS2", "Kitchen")]));
    for (info, generation) in [(room("aB3xYz", "Mountains"), 1), (room("Qq7rS2", "Kitchen"), 2)] {
        app.update(Update::Joined { info, generation });
    }
    for code in ["aB3xYz", "Qq7rS2"] {
        deliver(&mut app, code, Event::CaughtUp { last_seq: 0 });
    }
    deliver(&mut app, "aB3xYz", present(&["maria22", "walker1"]));
    deliver(&mut app, "aB3xYz", message_event(1, "maria22", "Is anybody up for the ridge on Saturday?"));
    let long = "I am. Sun until four, then thunderstorms, so let us be on the summit before noon.";
    deliver(&mut app, "aB3xYz", message_event(2, "walker1", long));
    deliver(&mut app, "aB3xYz", message_event(40, "maria22", "日本語 and\ntwo lines\u{1b}[2J"));
    deliver(&mut app, "Qq7rS2", message_event(1, "maria22", "Soup is ready"));
    app
}

/// A page of another user's messages with these seqs.
pub(crate) fn page(seqs: impl IntoIterator<Item = i64>, more: bool) -> Page {
    let messages =
        seqs.into_iter().map(|seq| wire_message(seq, "maria22", &format!("number {seq}"))).collect();
    Page::try_from(v1::ListMessagesResponse { messages, more, first_seq: 1, last_seq: 99 }).unwrap()
}

pub(crate) fn join_failed(app: &mut App, code: &str, remedy: Remedy) -> Vec<Effect> {
    app.update(Update::JoinFailed { code: code.to_owned(), why: "it was refused".to_owned(), remedy })
}
