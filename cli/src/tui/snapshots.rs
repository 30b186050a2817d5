//! The screen as it looks, character by character, and what keys make of it.

use std::time::{Duration, SystemTime};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::{CloseReason, Error, Event, Message, Page, RoomInfo, User};
use grpcchatter_proto::v1;
use jiff::tz::TimeZone;
use ratatui::{Terminal, backend::TestBackend};

use super::{
    app::{App, Effect, News, Notice},
    room::Link,
    view,
};

/// 22 November 2026, 20:40 UTC.
const EVENING: u64 = 1_795_380_000;

fn time(minutes: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(EVENING + 60 * minutes)
}

fn room(code: &str, name: &str) -> RoomInfo {
    let room = v1::ChatRoom {
        short_code: code.to_owned(),
        room_name: name.to_owned(),
        owner_name: "walker1".to_owned(),
        create_time: Some(time(0).into()),
        last_seq: 0,
    };
    RoomInfo::try_from(Some(room)).unwrap()
}

fn raw(seq: i64, name: &str, body: &str) -> v1::Message {
    v1::Message {
        user_name: name.to_owned(),
        body: body.to_owned(),
        seq,
        message_id: format!("id-{seq}"),
        create_time: Some(time(u64::try_from(seq).unwrap() * 7).into()),
        client_message_id: String::new(),
    }
}

fn said(seq: i64, name: &str, body: &str) -> Event {
    Event::Message(Message::try_from(raw(seq, name, body)).unwrap())
}

fn people(names: &[&str]) -> Event {
    let user = |name: &&str| v1::User { user_name: (*name).to_owned(), online_since: Some(time(0).into()) };
    let users = names.iter().map(|name| User::try_from(user(name)).unwrap()).collect();
    Event::Present { users, count: names.len() }
}

fn happen(app: &mut App, code: &str, event: Event) {
    app.news(News::Happened { code: code.to_owned(), event });
}

fn press(app: &mut App, code: KeyCode) -> Vec<Effect> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_in(app: &mut App, text: &str) -> Vec<Effect> {
    app.paste(text);
    press(app, KeyCode::Enter)
}

/// The screen as text.
fn screen(app: &mut App, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| _ = view::draw(frame, app, &TimeZone::UTC)).unwrap();
    terminal.backend().to_string()
}

/// Somebody in two rooms, in the first of which people talk.
fn talking() -> App {
    let mut app = App::new("walker1".to_owned(), "http://localhost:8080".to_owned());
    app.news(News::Rooms(vec![room("aB3xYz", "Mountains"), room("Qq7rS2", "Kitchen")]));
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

#[test]
fn a_room_with_people_and_news_elsewhere() {
    insta::assert_snapshot!(screen(&mut talking(), 80, 24));
}

#[test]
fn a_narrow_screen_belongs_to_the_log() {
    insta::assert_snapshot!(screen(&mut talking(), 40, 12));
}

#[test]
fn the_smallest_screen_is_no_crash() {
    for (columns, rows) in [(1, 1), (2, 4), (8, 3), (20, 5)] {
        screen(&mut talking(), columns, rows);
    }
}

#[test]
fn nobody_has_a_room_at_first() {
    let mut app = App::new("walker1".to_owned(), "http://localhost:8080".to_owned());
    app.news(News::Rooms(Vec::new()));
    insta::assert_snapshot!(screen(&mut app, 80, 12));
}

#[test]
fn what_was_not_sent_says_so_and_is_sent_again_under_its_id() {
    let mut app = talking();
    let effects = type_in(&mut app, "On my way");
    let [Effect::Send { code, id, .. }] = &effects[..] else { panic!("{effects:?}") };
    happen(&mut app, code, Event::Reconnecting { delay: Duration::from_secs(1), cause: Error::TimedOut });
    let why = "the message was not acknowledged".to_owned();
    app.news(News::NotSent { code: code.clone(), id: id.clone(), why });
    insta::assert_snapshot!(screen(&mut app, 80, 24));
    assert_eq!(type_in(&mut app, "/retry"), effects);
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let mut app = talking();
    assert_eq!(type_in(&mut app, "/create Cellar"), []);
    app.paste("Secret-1!");
    insta::assert_snapshot!(screen(&mut app, 80, 12));
    let made = Effect::Create { name: "Cellar".to_owned(), password: "Secret-1!".to_owned() };
    assert_eq!(press(&mut app, KeyCode::Enter), [made]);
    press(&mut app, KeyCode::Up);
    assert_eq!(app.input.text(), "/create Cellar");
}

#[test]
fn help_covers_the_rooms() {
    let mut app = talking();
    type_in(&mut app, "/help");
    insta::assert_snapshot!(screen(&mut app, 80, 24));
}

#[test]
fn scrolling_to_the_top_asks_for_what_is_older() {
    let mut app = talking();
    happen(&mut app, "aB3xYz", Event::Reset { last_seq: 99 });
    for seq in 60..100 {
        happen(&mut app, "aB3xYz", said(seq, "maria22", &format!("number {seq}")));
    }
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    for _ in 0..9 {
        press(&mut app, KeyCode::PageUp);
        terminal.draw(|frame| _ = view::draw(frame, &mut app, &TimeZone::UTC)).unwrap();
    }
    let code = "aB3xYz".to_owned();
    assert_eq!(app.top_seen(), [Effect::Older { code: code.clone(), before: 60 }]);
    assert_eq!(app.top_seen(), [], "once");
    let messages = (40..60).map(|seq| raw(seq, "walker1", &format!("number {seq}"))).collect();
    let page = v1::ListMessagesResponse { messages, more: true, first_seq: 1, last_seq: 99 };
    app.news(News::Older { code, page: Page::try_from(page).unwrap() });
    assert_eq!(app.rooms[0].oldest(), Some(40));
    press(&mut app, KeyCode::Esc);
    assert!(screen(&mut app, 80, 24).contains("number 99"));
}

#[test]
fn the_next_room_with_news_is_a_tab_away() {
    let mut app = talking();
    assert_eq!(app.rooms[1].unread, 1);
    press(&mut app, KeyCode::Tab);
    assert_eq!((app.current, app.rooms[1].unread), (1, 0));
}

#[test]
fn a_room_that_is_over_says_why_and_takes_no_message() {
    let mut app = talking();
    happen(&mut app, "aB3xYz", Event::Closed(CloseReason::Removed));
    assert_eq!(type_in(&mut app, "hello"), []);
    assert_eq!(app.input.text(), "hello", "it is not lost");
    insta::assert_snapshot!(screen(&mut app, 80, 24));
}

#[test]
fn deleting_needs_the_code() {
    let mut app = talking();
    type_in(&mut app, "/delete");
    assert_eq!(type_in(&mut app, "yes"), []);
    type_in(&mut app, "/delete");
    assert_eq!(type_in(&mut app, "aB3xYz"), [Effect::Delete { code: "aB3xYz".to_owned() }]);
    app.news(News::Gone { code: "aB3xYz".to_owned() });
    assert_eq!(app.room().map(|room| room.info.name.as_str()), Some("Kitchen"));
}

#[test]
fn two_slashes_say_one() {
    let mut app = talking();
    let effects = type_in(&mut app, "//usr/bin");
    assert!(matches!(&effects[..], [Effect::Send { body, .. }] if body == "/usr/bin"));
}

#[test]
fn a_room_that_could_not_be_entered_is_tried_again_when_looked_at() {
    let mut app = talking();
    let code = app.room().unwrap().info.short_code.clone();
    app.rooms[0].link = Link::Connecting;
    let why = "the server cannot be reached".to_owned();
    app.news(News::NotEntered { code: code.clone(), why: why.clone(), locked: false });
    assert_eq!(app.notice, Some(Notice::Failed(why)));
    press(&mut app, KeyCode::Tab);
    assert_eq!(press(&mut app, KeyCode::Tab), [Effect::Enter { code, password: String::new() }]);
}
