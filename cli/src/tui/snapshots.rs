//! The screen as it looks, character by character.

use std::time::Duration;

use crossterm::event::KeyCode;
use grpcchatter_client::{CloseReason, Error, Event};

use super::{
    app::App,
    news::{Effect, News},
    scene::{happen, press, screen, talking, type_in},
};

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
fn a_room_that_is_over_says_why_and_takes_no_message() {
    let mut app = talking();
    happen(&mut app, "aB3xYz", Event::Closed(CloseReason::Removed));
    assert_eq!(type_in(&mut app, "hello"), []);
    assert_eq!(app.input.text(), "hello", "it is not lost");
    insta::assert_snapshot!(screen(&mut app, 80, 24));
}
