//! The screen as it looks, character by character.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::{CloseReason, Error as ClientError, Event};
use ratatui::{Terminal, backend::TestBackend};

use super::{
    app::App,
    form::Form,
    form_view,
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
    happen(
        &mut app,
        code,
        Event::Reconnecting { delay: Duration::from_secs(1), cause: ClientError::TimedOut },
    );
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

#[test]
fn a_wide_screen_has_the_people_too() {
    insta::assert_snapshot!(screen(&mut talking(), 120, 16));
}

#[test]
fn what_is_typed_takes_as_many_rows_as_it_needs() {
    let mut app = talking();
    app.paste("one\rtwo\r\nthree");
    insta::assert_snapshot!(screen(&mut app, 80, 12));
    app.paste(&"\nand more".repeat(20));
    assert!(screen(&mut app, 80, 12).contains("and more"));
}

#[test]
fn the_hint_line_helps_with_a_command_and_shows_what_tab_goes_through() {
    let mut app = talking();
    let hint = |app: &mut App| screen(app, 80, 12).lines().nth(10).unwrap().to_owned();
    assert!(hint(&mut app).contains("? help"));
    app.paste("/inv");
    assert!(hint(&mut app).contains("/invite [1h]  make a link"));
    app.input.set("/re");
    assert!(hint(&mut app).contains("/retry  /rename  /remove"));
    press(&mut app, KeyCode::Tab);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.input.text(), "/rename");
    assert!(hint(&mut app).contains("/retry  /rename  /remove"));
}

/// The form as text.
fn form(form: &Form, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| form_view::draw(frame, form)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn the_form_hides_the_password_and_says_what_is_wrong_where_it_is() {
    let mut door = Form::new(Some("http://localhost:8080"), Some("walker1"), None);
    door.paste("Secret-1!");
    door.failed(&ClientError::TimedOut.into());
    insta::assert_snapshot!(form(&door, 80, 24));
}

#[test]
fn the_form_makes_accounts_and_fits_on_any_screen() {
    let mut door = Form::new(None, None, Some("a new account is made here\u{1b}[2J"));
    door.key(KeyEvent::new(KeyCode::F(2), KeyModifiers::NONE));
    insta::assert_snapshot!(form(&door, 80, 14));
    for (columns, rows) in [(1, 1), (2, 4), (8, 3), (20, 5)] {
        form(&door, columns, rows);
    }
}
