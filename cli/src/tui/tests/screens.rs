//! Snapshots of the screen.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use grpcchatter_client::{CloseReason, Error as ClientError, Event};
use ratatui::{Terminal, backend::TestBackend};

use super::fixture::{deliver, press, screen, two_rooms, type_in};
use crate::tui::{
    app::App,
    effect::{Effect, Update},
    login_form::LoginForm,
    login_form_view,
};

#[test]
fn a_room_with_unread_messages_in_another() {
    insta::assert_snapshot!(screen(&mut two_rooms(), 80, 24));
}

#[test]
fn a_narrow_screen_shows_only_the_log() {
    insta::assert_snapshot!(screen(&mut two_rooms(), 40, 12));
}

#[test]
fn the_smallest_screens_do_not_panic() {
    for (columns, rows) in [(1, 1), (2, 4), (8, 3), (20, 5)] {
        screen(&mut two_rooms(), columns, rows);
    }
}

#[test]
fn a_new_user_has_no_room() {
    let mut app = App::new("walker1".to_owned(), "http://localhost:8080".to_owned());
    app.update(Update::Rooms(Vec::new()));
    insta::assert_snapshot!(screen(&mut app, 80, 12));
}

#[test]
fn a_failed_message_is_retried_under_its_id() {
    let mut app = two_rooms();
    let effects = type_in(&mut app, "On my way");
    let [Effect::Send { code, id, .. }] = &effects[..] else { panic!("{effects:?}") };
    deliver(
        &mut app,
        code,
        Event::Reconnecting { delay: Duration::from_secs(1), cause: ClientError::TimedOut },
    );
    let why = "the message was not acknowledged".to_owned();
    app.update(Update::SendFailed { code: code.clone(), id: id.clone(), why });
    insta::assert_snapshot!(screen(&mut app, 80, 24));
    assert_eq!(type_in(&mut app, "/retry"), effects);
}

#[test]
fn a_typed_password_is_hidden() {
    let mut app = two_rooms();
    assert_eq!(type_in(&mut app, "/create Cellar"), []);
    app.paste("Secret-1!");
    insta::assert_snapshot!(screen(&mut app, 80, 12));
    let made = Effect::Create { name: "Cellar".to_owned(), password: "Secret-1!".to_owned() };
    assert_eq!(press(&mut app, KeyCode::Enter), [made]);
    press(&mut app, KeyCode::Up);
    assert_eq!(app.input.text(), "/create Cellar");
}

#[test]
fn the_help_covers_the_room() {
    let mut app = two_rooms();
    type_in(&mut app, "/help");
    insta::assert_snapshot!(screen(&mut app, 80, 24));
}

#[test]
fn a_closed_room_shows_the_reason_and_accepts_no_message() {
    let mut app = two_rooms();
    deliver(&mut app, "aB3xYz", Event::Closed(CloseReason::Removed));
    assert_eq!(type_in(&mut app, "hello"), []);
    assert_eq!(app.input.text(), "hello", "it is not lost");
    insta::assert_snapshot!(screen(&mut app, 80, 24));
}

#[test]
fn a_wide_screen_shows_the_people() {
    insta::assert_snapshot!(screen(&mut two_rooms(), 120, 16));
}

#[test]
fn the_input_grows_with_its_text() {
    let mut app = two_rooms();
    app.paste("one\rtwo\r\nthree");
    insta::assert_snapshot!(screen(&mut app, 80, 12));
    app.paste(&"\nand more".repeat(20));
    assert!(screen(&mut app, 80, 12).contains("and more"));
}

#[test]
fn the_hint_shows_command_help_and_completions() {
    let mut app = two_rooms();
    let hint = |app: &mut App| screen(app, 80, 12).lines().nth(10).unwrap().to_owned();
    assert!(hint(&mut app).contains("? help"));
    app.paste("/inv");
    assert!(hint(&mut app).contains("/invite [1h]  create an invitation link"));
    app.input.set("/re");
    assert!(hint(&mut app).contains("/retry  /rename  /remove"));
    press(&mut app, KeyCode::Tab);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.input.text(), "/rename");
    assert!(hint(&mut app).contains("/retry  /rename  /remove"));
}

/// The form as text.
fn form(form: &LoginForm, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| login_form_view::draw(frame, form)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn the_form_hides_the_password_and_shows_an_error_at_its_field() {
    let mut login = LoginForm::new(Some("http://localhost:8080"), Some("walker1"), None);
    login.paste("Secret-1!");
    login.failed(&ClientError::TimedOut.into());
    insta::assert_snapshot!(form(&login, 80, 24));
}

#[test]
fn the_registration_form_fits_on_any_screen() {
    let mut login = LoginForm::new(None, None, Some("a new account is made here\u{1b}[2J"));
    login.key(KeyEvent::new(KeyCode::F(2), KeyModifiers::NONE));
    insta::assert_snapshot!(form(&login, 80, 14));
    for (columns, rows) in [(1, 1), (2, 4), (8, 3), (20, 5)] {
        form(&login, columns, rows);
    }
}
